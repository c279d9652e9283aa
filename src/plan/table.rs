//! Which route a request is for: a path table, and per path the methods it knows.
//!
//! Paths are split at raw `/` and each segment is decoded once (SEMANTICS 22), so an encoded slash
//! never moves a boundary. No trailing-slash or case folding.

use std::collections::HashMap;

use http::Method;

use super::RouteId;

/// Every route of a plan by path and method.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    paths: matchit::Router<usize>,
    methods: Vec<Methods>,
    /// Places in `methods`, by pattern.
    known: HashMap<Box<str>, usize>,
}

/// The methods that one path knows.
type Methods = Vec<(Method, RouteId)>;

/// What the table says of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Match {
    Route {
        route: RouteId,
        /// Raw (still percent-encoded) parameters in the order of the pattern.
        params: Vec<(String, String)>,
    },
    /// The path is known, the method is not: what `Allow` lists.
    MethodNotAllowed(Vec<Method>),
    NotFound,
}

/// Why a route cannot be added.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("the same method and path as another route")]
    Taken(RouteId),
    #[error("{0}")]
    BadPath(String),
    /// Another pattern matches the same paths under other parameter names.
    #[error("collides with `{0}`")]
    Collides(String),
}

impl RouteTable {
    /// Adds a route; `path` is a pattern such as `/v1/networks/{id}`.
    pub fn insert(
        &mut self,
        method: &Method,
        path: &str,
        route: RouteId,
    ) -> Result<(), TableError> {
        let index = match self.known.get(path).copied() {
            Some(index) => index,
            None => {
                let index = self.methods.len();
                self.paths
                    .insert(path, index)
                    .map_err(|error| match error {
                        matchit::InsertError::Conflict { with } => TableError::Collides(with),
                        other => TableError::BadPath(other.to_string()),
                    })?;
                self.methods.push(Vec::new());
                self.known.insert(path.into(), index);
                index
            }
        };
        let methods = &mut self.methods[index];
        if let Some((_, taken)) = methods.iter().find(|(known, _)| known == method) {
            return Err(TableError::Taken(*taken));
        }
        methods.push((method.clone(), route));
        Ok(())
    }

    /// The route alone, without its parameters: what logs and metrics name.
    pub fn route_of(&self, method: &Method, raw_path: &str) -> Option<RouteId> {
        let methods = &self.methods[*self.paths.at(raw_path).ok()?.value];
        let of = |wanted: &Method| methods.iter().find(|(known, _)| known == wanted);
        let fallback = || (method == Method::HEAD).then(|| of(&Method::GET)).flatten();
        of(method).or_else(fallback).map(|(_, route)| *route)
    }

    /// Finds the route of a raw (percent-encoded) path. `HEAD` falls back to `GET`.
    pub fn find(&self, method: &Method, raw_path: &str) -> Match {
        let Ok(found) = self.paths.at(raw_path) else {
            return Match::NotFound;
        };
        let methods = &self.methods[*found.value];
        let direct = methods.iter().find(|(known, _)| known == method);
        let fallback = || {
            (method == Method::HEAD)
                .then(|| methods.iter().find(|(known, _)| known == Method::GET))
                .flatten()
        };
        match direct.or_else(fallback) {
            Some((_, route)) => Match::Route {
                route: *route,
                params: found
                    .params
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            },
            None => {
                Match::MethodNotAllowed(methods.iter().map(|(known, _)| known.clone()).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable {
        let mut table = RouteTable::default();
        table
            .insert(&Method::GET, "/v1/networks/{id}", RouteId(0))
            .unwrap();
        table
            .insert(&Method::DELETE, "/v1/networks/{id}", RouteId(1))
            .unwrap();
        table
    }

    #[test]
    fn an_encoded_slash_stays_inside_its_segment() {
        assert_eq!(
            table().find(&Method::GET, "/v1/networks/a%2Fb"),
            Match::Route {
                route: RouteId(0),
                params: vec![("id".into(), "a%2Fb".into())]
            }
        );
    }

    #[test]
    fn a_known_path_names_its_methods() {
        assert_eq!(
            table().find(&Method::PUT, "/v1/networks/a"),
            Match::MethodNotAllowed(vec![Method::GET, Method::DELETE])
        );
        assert_eq!(table().find(&Method::GET, "/v1/networks/"), Match::NotFound);
    }

    #[test]
    fn equal_and_colliding_routes_are_refused() {
        let mut table = table();
        assert_eq!(
            table.insert(&Method::GET, "/v1/networks/{id}", RouteId(2)),
            Err(TableError::Taken(RouteId(0)))
        );
        assert!(matches!(
            table.insert(&Method::GET, "/v1/networks/{name}", RouteId(2)),
            Err(TableError::Collides(_))
        ));
    }
}
