//! Paths -> resources: which operations are about one type of object, and what each does to it.
//!
//! A path that ends in a parameter behind a word, `/pets/{petId}`, is an object; the path before it is
//! its collection. What fits nowhere is not drafted, and says why.

use super::document::Operation;
use super::words::{self, plain, plural, singular, snake};

/// A segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Word(String),
    Parameter(String),
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Create,
    List,
    Get,
    /// PUT of the whole object.
    Replace,
    /// PATCH of a part.
    Update,
    Delete,
    /// Something else with one object: `POST /servers/{id}/reboot`.
    Act,
    /// A GET beside the objects: `/pets/findByStatus`, `/inventory`.
    Read,
}

/// An operation of a resource.
#[derive(Clone, Debug)]
pub struct Drafted {
    pub does: Does,
    pub operation: Operation,
    pub segments: Vec<Segment>,
}

/// A type of object, and its operations.
#[derive(Clone, Debug)]
pub struct Resource {
    pub name: String,
    /// As it stands in CMP paths: `firewall-rules`.
    pub path_name: String,
    pub collection: Vec<Segment>,
    /// The parameter that names an object; `None` where there is only something to read.
    pub parameter: Option<String>,
    pub operations: Vec<Drafted>,
}

/// What was not drafted, and why.
#[derive(Clone, Debug)]
pub struct Skipped {
    pub what: String,
    pub why: String,
}

/// What groups of paths come to.
#[derive(Clone, Debug, Default)]
pub struct Grouped {
    pub resources: Vec<Resource>,
    pub skipped: Vec<Skipped>,
}

impl Resource {
    /// Whether the relay makes its objects, and so maps them.
    pub fn is_made(&self) -> bool {
        self.operations
            .iter()
            .any(|drafted| drafted.does == Does::Create)
    }

    /// The parameters before an object's own, each with the collection that it chooses from.
    pub fn outer(&self) -> Vec<(String, Vec<Segment>)> {
        outer(&self.collection)
    }
}

/// The parameters of a path, each with the path before it.
pub fn outer(path: &[Segment]) -> Vec<(String, Vec<Segment>)> {
    path.iter()
        .enumerate()
        .filter_map(|(at, segment)| match segment {
            Segment::Parameter(name) => Some((name.clone(), path[..at].to_vec())),
            Segment::Word(_) => None,
        })
        .collect()
}

/// Whether two paths are one, whatever their parameters are called.
pub fn same(a: &[Segment], b: &[Segment]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| match pair {
            (Segment::Word(a), Segment::Word(b)) => a == b,
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
            _ => false,
        })
}

/// Groups operations into resources.
pub fn group(operations: Vec<Operation>) -> Grouped {
    let mut grouped = Grouped::default();
    let mut parsed = Vec::new();
    for operation in operations {
        match segments(&operation.path) {
            Ok(segments) => parsed.push((operation, segments)),
            Err(why) => grouped.skip(&operation, &why),
        }
    }
    for (_, segments) in &parsed {
        for end in 1..segments.len() {
            let (before, rest) = segments.split_at(end);
            if let (Some(Segment::Word(_)), Some(Segment::Parameter(name))) =
                (before.last(), rest.first())
            {
                grouped.enter(before, Some(name));
            }
        }
    }
    for (operation, segments) in parsed {
        grouped.place(operation, segments);
    }
    grouped
        .resources
        .retain(|resource| !resource.operations.is_empty());
    grouped.name();
    grouped
}

impl Grouped {
    fn skip(&mut self, operation: &Operation, why: &str) {
        self.skipped.push(Skipped {
            what: format!("{} {}", operation.method, operation.path),
            why: why.to_owned(),
        });
    }

    fn enter(&mut self, collection: &[Segment], parameter: Option<&str>) -> usize {
        let known = |resource: &Resource| same(&resource.collection, collection);
        if let Some(at) = self.resources.iter().position(known) {
            return at;
        }
        self.resources.push(Resource {
            name: String::new(),
            path_name: String::new(),
            collection: collection.to_vec(),
            parameter: parameter.map(str::to_owned),
            operations: Vec::new(),
        });
        self.resources.len() - 1
    }

    fn place(&mut self, operation: Operation, segments: Vec<Segment>) {
        let login = [
            "login", "logout", "signin", "signout", "token", "tokens", "auth",
        ];
        if let Some(Segment::Word(last)) = segments.last()
            && login.contains(&plain(last).as_str())
        {
            return self.skip(
                &operation,
                "how calls authenticate is said in the backend file",
            );
        }
        let method = operation.method.as_str();
        let mut found = None;
        // The innermost resource that the path begins with.
        for (at, resource) in self.resources.iter().enumerate() {
            let length = resource.collection.len();
            if segments.len() < length || !same(&segments[..length], &resource.collection) {
                continue;
            }
            let rest = &segments[length..];
            let does = match (rest, method) {
                ([], "GET") => Some(Does::List),
                ([], "POST") => Some(Does::Create),
                ([Segment::Parameter(_)], "GET") => Some(Does::Get),
                ([Segment::Parameter(_)], "PUT") => Some(Does::Replace),
                ([Segment::Parameter(_)], "PATCH") => Some(Does::Update),
                ([Segment::Parameter(_)], "DELETE") => Some(Does::Delete),
                ([Segment::Parameter(_), words @ ..], _) if words.iter().all(is_word) => {
                    Some(Does::Act)
                }
                ([Segment::Word(_), words @ ..], "GET") if words.iter().all(is_word) => {
                    Some(Does::Read)
                }
                _ => None,
            };
            let better = found.is_none_or(|(_, known, _)| length > known);
            if let (Some(does), true) = (does, better) {
                found = Some((at, length, does));
            }
        }
        if let Some((at, _, does)) = found {
            self.resources[at].operations.push(Drafted {
                does,
                operation,
                segments,
            });
            return;
        }
        if method == "GET" && segments.iter().all(is_word) {
            let at = self.enter(&segments, None);
            let does = Does::Read;
            self.resources[at].operations.push(Drafted {
                does,
                operation,
                segments,
            });
            return;
        }
        let why = match method {
            "POST" => "no path below it names what it makes",
            "GET" => "nothing in its path says which object it is about",
            _ => "it acts on a whole collection, not on one object",
        };
        self.skip(&operation, why);
    }

    /// Gives each resource a name of its own, from its last word, or from as many as it takes.
    fn name(&mut self) {
        let words: Vec<Vec<String>> = self
            .resources
            .iter()
            .map(|resource| {
                let words = resource
                    .collection
                    .iter()
                    .filter_map(|segment| match segment {
                        Segment::Word(word) => Some(snake(word)),
                        Segment::Parameter(_) => None,
                    });
                words.collect()
            })
            .collect();
        for at in 0..self.resources.len() {
            let mut taken = 1;
            while taken < words[at].len()
                && (0..words.len()).any(|other| {
                    other != at && tail(&words[other], taken) == tail(&words[at], taken)
                })
            {
                taken += 1;
            }
            let (one, many) = tail(&words[at], taken);
            // What is only read keeps its word.
            let only_read = self.resources[at].parameter.is_none();
            let word = words[at].last().filter(|_| only_read).cloned();
            let path_name = words::kebab(&word.unwrap_or(many));
            // `/user` and `/users/{name}` are two resources all the same.
            let before = &self.resources[..at];
            let name = unlike(&one, "_", |name| {
                before.iter().any(|other| other.name == name)
            });
            let path_name = unlike(&path_name, "-", |name| {
                before.iter().any(|other| other.path_name == name)
            });
            self.resources[at].name = name;
            self.resources[at].path_name = path_name;
        }
    }
}

/// A name that is not taken: the one that is wanted, or with a number behind it.
fn unlike(wanted: &str, between: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = wanted.to_owned();
    let mut number = 2;
    while taken(&name) {
        name = format!("{wanted}{between}{number}");
        number += 1;
    }
    name
}

/// The last words of a path as one name: of one object, and of many.
fn tail(all: &[String], count: usize) -> (String, String) {
    let tail = &all[all.len() - count.min(all.len())..];
    let Some((last, before)) = tail.split_last() else {
        return ("thing".to_owned(), "things".to_owned());
    };
    // Of `storage_pools` the last word alone is many.
    let (stem, last) = match last.rsplit_once('_') {
        Some((stem, last)) => (format!("{stem}_"), last),
        None => (String::new(), last.as_str()),
    };
    let one = singular(last);
    let outer: String = before
        .iter()
        .map(|word| format!("{}_", singular(word)))
        .collect();
    let many = match one == last {
        true => plural(last),
        false => last.to_owned(),
    };
    (
        format!("{outer}{stem}{one}"),
        format!("{outer}{stem}{many}"),
    )
}

fn is_word(segment: &Segment) -> bool {
    matches!(segment, Segment::Word(_))
}

fn segments(path: &str) -> Result<Vec<Segment>, String> {
    let mut found: Vec<Segment> = Vec::new();
    for segment in path.trim_matches('/').split('/') {
        let parameter = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        match parameter {
            Some(name) if !name.contains(['{', '}']) => {
                if matches!(found.last(), Some(Segment::Parameter(_))) {
                    return Err("two parameters beside each other name one object".to_owned());
                }
                found.push(Segment::Parameter(name.to_owned()));
            }
            None if segment.contains(['{', '}']) => {
                return Err(format!(
                    "`{segment}` is a word and a parameter in one segment"
                ));
            }
            _ if segment.is_empty() => return Err("its path has an empty segment".to_owned()),
            _ => found.push(Segment::Word(segment.to_owned())),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn grouped(paths: &[&str]) -> Grouped {
        group(
            paths
                .iter()
                .map(|line| {
                    let (method, path) = line.split_once(' ').unwrap();
                    Operation {
                        method: method.to_owned(),
                        path: path.to_owned(),
                        node: Value::Null,
                        parameters: Vec::new(),
                    }
                })
                .collect(),
        )
    }

    #[test]
    fn paths_become_resources() {
        let grouped = grouped(&[
            "GET /api/v1/pets",
            "POST /api/v1/pets",
            "GET /api/v1/pets/findByTag",
            "DELETE /api/v1/pets/{petId}",
            "POST /api/v1/pets/{petId}/feed",
            "POST /api/v1/pets/{id}/toys",
            "GET /api/v1/pets/{id}/toys/{toy}",
            "GET /api/v1/inventory",
            "POST /api/v1/login",
            "POST /api/v1/imports",
            "DELETE /api/v1/pets",
            "GET /api/v1/files/{name}.json",
        ]);
        let resources: Vec<(String, Vec<Does>)> = grouped
            .resources
            .iter()
            .map(|resource| {
                let does = resource.operations.iter().map(|drafted| drafted.does);
                (
                    format!("{} {}", resource.name, resource.path_name),
                    does.collect(),
                )
            })
            .collect();
        assert_eq!(
            resources,
            [
                (
                    "pet pets".to_owned(),
                    vec![
                        Does::List,
                        Does::Create,
                        Does::Read,
                        Does::Delete,
                        Does::Act
                    ]
                ),
                ("toy toys".to_owned(), vec![Does::Create, Does::Get]),
                ("inventory inventory".to_owned(), vec![Does::Read]),
            ]
        );
        let skipped: Vec<&str> = grouped
            .skipped
            .iter()
            .map(|skipped| skipped.what.as_str())
            .collect();
        assert_eq!(
            skipped,
            [
                "GET /api/v1/files/{name}.json",
                "POST /api/v1/login",
                "POST /api/v1/imports",
                "DELETE /api/v1/pets"
            ]
        );
    }

    #[test]
    fn resources_of_one_name_take_their_parents_too() {
        let grouped = grouped(&[
            "POST /lans/{a}/rules",
            "GET /lans/{a}/rules/{b}",
            "GET /wans/{a}/rules/{b}",
        ]);
        let names: Vec<&str> = grouped
            .resources
            .iter()
            .map(|resource| resource.name.as_str())
            .collect();
        assert_eq!(names, ["lan_rule", "wan_rule"]);
    }
}
