//! The route set of a dialog: which way its requests take (RFC 3261 s12.1.2, s12.2.1.1).

use super::{Message, Name, NameAddr, Uri};
use crate::limits::ROUTES_MAX;

/// The route set and the remote target of a dialog, as its caller got them from a 2xx.
#[derive(Clone, Debug)]
pub struct RouteSet<'m> {
    routes: heapless::Vec<&'m str, ROUTES_MAX>,
    target: &'m str,
    /// The first route is a strict router's (RFC 2543): its URI.
    strict: Option<&'m str>,
}

impl<'m> RouteSet<'m> {
    /// The way to who sent `answer`. `target` is where it is asked without a Contact; `is_ours`
    /// knows the URIs that we put into Record-Route ourselves.
    pub fn of_caller<'a: 'm>(
        answer: &Message<'a>,
        target: &'m str,
        is_ours: impl Fn(&Uri<'_>) -> bool,
    ) -> Self {
        let address = |value: &'a str| NameAddr::parse(value).ok();
        let contact = answer.values(Name::Contact).next().and_then(address);
        let others = answer.values(Name::RecordRoute).filter(|value| {
            let uri = address(value).and_then(|route| Uri::parse(route.uri).ok());
            !uri.is_some_and(|uri| is_ours(&uri))
        });
        let mut routes: heapless::Vec<&str, ROUTES_MAX> = others.take(ROUTES_MAX).collect();
        routes.reverse();
        let first = routes.first().and_then(|first| address(first)).map(|first| first.uri);
        let strict =
            first.filter(|first| Uri::parse(first).is_ok_and(|uri| uri.params.get("lr").is_none()));
        Self { routes, target: contact.map_or(target, |contact| contact.uri), strict }
    }

    /// The Request-URI of its requests.
    pub fn request_uri(&self) -> &'m str {
        self.strict.unwrap_or(self.target)
    }

    /// The URI that says where they are sent to.
    pub fn next_hop(&self) -> &'m str {
        let first = self.routes.first().and_then(|first| NameAddr::parse(first).ok());
        first.map_or(self.target, |first| first.uri)
    }

    /// Their Route headers.
    pub fn routes(&self) -> impl Iterator<Item = String> {
        let skip = usize::from(self.strict.is_some());
        let last = self.strict.map(|_| format!("<{}>", self.target));
        self.routes.iter().skip(skip).map(|route| (*route).to_owned()).chain(last)
    }
}
