//! Which file of a crate names which other one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::{
    Attribute, Item, ItemMod, ItemUse, Meta, UseTree, Visibility,
    visit::{self, Visit},
};

/// A file by the path of its module, without `crate`.
pub(crate) type File = Vec<String>;

/// The files of a crate and what they name.
pub(crate) struct Imports {
    edges: BTreeMap<File, BTreeSet<File>>,
}

impl Imports {
    /// Reads a crate's sources. What is only for tests is left out.
    pub(crate) fn read(root: &Path) -> Self {
        let mut sources = BTreeMap::new();
        collect(root, &mut Vec::new(), &mut sources);
        let mut names = BTreeMap::new();
        let mut reexports = BTreeMap::new();
        for (file, source) in &sources {
            let mut found =
                Names { module: file.clone(), names: Vec::new(), reexports: Vec::new() };
            found.visit_file(source);
            names.insert(file.clone(), found.names);
            for (name, path) in found.reexports {
                reexports.insert([file.as_slice(), &[name]].concat(), path);
            }
        }
        let files: BTreeSet<File> = sources.into_keys().collect();
        let mut edges = BTreeMap::new();
        for (file, names) in names {
            let defined = names.into_iter().filter_map(|name| file_of(&name, &files, &reexports));
            // The crate's root only hands on.
            let others = defined.filter(|other| *other != file && !other.is_empty()).collect();
            edges.insert(file, others);
        }
        edges.remove(&File::new());
        Self { edges }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.edges.keys()
    }

    /// Who names whom.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (&File, &File)> {
        self.edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
    }

    /// The largest sets of files each of which leads to all others.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<File>> {
        let reached: BTreeMap<_, _> =
            self.files().map(|file| (file, self.reached_from(file))).collect();
        let mut circles: Vec<BTreeSet<File>> = Vec::new();
        for file in self.files() {
            if circles.iter().any(|circle| circle.contains(file)) {
                continue;
            }
            let both =
                |other: &&File| reached[file].contains(*other) && reached[*other].contains(file);
            let circle: BTreeSet<File> = self.files().filter(both).cloned().collect();
            if circle.len() > 1 {
                circles.push(circle);
            }
        }
        circles
    }

    fn reached_from(&self, file: &File) -> BTreeSet<&File> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&File> = self.edges[file].iter().collect();
        while let Some(file) = next.pop() {
            if reached.insert(file) {
                next.extend(&self.edges[file]);
            }
        }
        reached
    }
}

/// Folders whose files are alternatives, one of which is compiled.
const SYSTEMS: [&str; 2] = ["unix", "windows"];

/// The sources under a folder, by their modules.
fn collect(folder: &Path, module: &mut File, sources: &mut BTreeMap<File, syn::File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "tests" {
            continue;
        }
        if path.is_dir() && SYSTEMS.contains(&name.as_str()) {
            // Its files are modules of the folder above, under the same names for each system.
            collect(&path, module, sources);
        } else if path.is_dir() {
            module.push(name);
            collect(&path, module, sources);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_folders = name == "mod" || name == "lib";
            let file = if is_folders { module.clone() } else { [&module[..], &[name]].concat() };
            let mut source = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
            let same: &mut syn::File = sources.entry(file).or_insert_with(empty);
            same.items.append(&mut source.items);
        }
    }
}

/// The file in which what a path names is defined, behind all that hands it on.
fn file_of(
    path: &[String],
    files: &BTreeSet<File>,
    reexports: &BTreeMap<File, File>,
) -> Option<File> {
    for len in 1..=path.len() {
        if let Some(defined) = reexports.get(&path[..len]) {
            return file_of(&[defined, &path[len..]].concat(), files, reexports);
        }
    }
    (0..=path.len())
        .rev()
        .map(|len| &path[..len])
        .find(|file| files.contains(*file))
        .map(Into::into)
}

/// What a file names of its own crate.
struct Names {
    /// The module that is looked at.
    module: File,
    names: Vec<File>,
    /// What is handed on, under which name.
    reexports: Vec<(String, File)>,
}

impl Names {
    /// A path from the crate's root, if it is one of this crate.
    fn absolute(&self, path: &[String]) -> Option<File> {
        let mut module = self.module.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => return Some(rest[1..].to_vec()),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|first| first == "super") {
                    module.pop();
                    rest = &rest[1..];
                }
            }
            _ => return None,
        }
        module.extend_from_slice(rest);
        Some(module)
    }

    fn take_tree(&mut self, before: &mut Vec<String>, tree: &UseTree, is_handed_on: bool) {
        let len = before.len();
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.take_tree(before, &path.tree, is_handed_on);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.take_tree(before, tree, is_handed_on);
                }
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                let known_as =
                    if name == "self" { before.last().cloned() } else { Some(name.clone()) };
                if name != "self" {
                    before.push(name);
                }
                self.take_name(before, &known_as.unwrap_or_default(), is_handed_on);
            }
            UseTree::Rename(rename) => {
                before.push(rename.ident.to_string());
                self.take_name(before, &rename.rename.to_string(), is_handed_on);
            }
            UseTree::Glob(_) => self.take_name(before, "*", false),
        }
        before.truncate(len);
    }

    fn take_name(&mut self, path: &[String], known_as: &str, is_handed_on: bool) {
        let Some(path) = self.absolute(path) else { return };
        if is_handed_on {
            self.reexports.push((known_as.to_owned(), path));
        } else {
            self.names.push(path);
        }
    }
}

impl Visit<'_> for Names {
    fn visit_item(&mut self, item: &Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        let is_handed_on = !matches!(item.vis, Visibility::Inherited);
        self.take_tree(&mut Vec::new(), &item.tree, is_handed_on);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.take_name(&segments, "", false);
        visit::visit_path(self, path);
    }

    // Who may see something is not who is named.
    fn visit_visibility(&mut self, _: &Visibility) {}
}

fn is_for_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg")
        && list.tokens.to_string().split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
        && !list.tokens.to_string().contains("not")
}

fn empty() -> syn::File {
    syn::parse_file("").unwrap()
}
