//! Timers, by how many are pending.

use std::time::Duration;

use facade_benches::curves::Panel;
use facade_engine::{Callback, DriverChoice, Engine, Result};

use super::{curve, engine, nanoseconds, settle};

pub(super) fn panel(rounds: usize) -> Result<Panel> {
    let sizes = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
    let driver = DriverChoice::Mio;
    let curves = vec![
        curve("arm one more, and cancel it", &sizes, rounds, |pending| {
            let engine = engine(driver)?;
            arm(&engine, pending, 2 * HOUR, Duration::from_secs(1000));
            settle(&engine, pending)?;
            arm_and_cancel(&engine, pending)
        })?,
        curve("arm all", &sizes, rounds, |pending| {
            let engine = engine(driver)?;
            let spread = Duration::from_micros(pending as u64);
            let took = nanoseconds(|| {
                arm(&engine, pending, HOUR, spread);
                settle(&engine, pending)
            })?;
            Ok(took / pending as f64)
        })?,
        curve("expire all", &sizes, rounds, |pending| {
            let engine = engine(driver)?;
            // One comes due a microsecond; the thread's clock stands while it waits.
            arm(&engine, pending, SOON, Duration::from_micros(pending as u64));
            engine.run_once(Some(Duration::ZERO))?;
            Ok(nanoseconds(|| engine.run())? / pending as f64)
        })?,
    ];
    Ok(Panel { title: "CPU a timer in ns, by timers pending".into(), curves })
}

/// Arms so many timers, due in no order within `spread` after `first`.
fn arm(engine: &Engine, count: usize, first: Duration, spread: Duration) {
    engine.post(move |local| {
        let spread = u64::try_from(spread.as_micros()).unwrap_or(u64::MAX);
        for number in 0..count as u64 {
            let late = Duration::from_micros(number * PRIME % spread.max(1));
            local.sleep(first + late, Callback::ignore());
        }
    });
}

fn arm_and_cancel(engine: &Engine, pending: usize) -> Result<f64> {
    const BATCH: u64 = 10_000;
    let took = nanoseconds(|| {
        engine.post(|local| {
            for number in 0..BATCH {
                let duration = HOUR + Duration::from_micros(number * PRIME % 1_000_000);
                local.sleep(duration, Callback::ignore()).cancel();
            }
        });
        settle(engine, pending)
    })?;
    Ok(took / BATCH as f64)
}

/// Later than all are armed.
const SOON: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Puts numbers out of order.
const PRIME: u64 = 7919;
