//! Names of headers and methods.
//!
//! Header names are case-insensitive and some have a compact form (RFC 3261 section 7.3.3 and
//! the IANA registry); methods are case-sensitive (section 7.1). Names that CoSIP has no use for
//! stay [`Name::Other`] and travel as the sender spelled them.

use core::fmt;

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?;)*) => {
        /// A header's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// A header that has no name here.
            Other,
        }

        const NAMES: &[(Name, &str, u8)] = &[$((Name::$variant, $text, 0 $(+ $compact)?)),*];

        impl Name {
            /// The name as it is written; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "",
                }
            }
        }
    };
}

names! {
    Via "Via" b'v';
    From "From" b'f';
    To "To" b't';
    CallId "Call-ID" b'i';
    CSeq "CSeq";
    Contact "Contact" b'm';
    MaxForwards "Max-Forwards";
    ContentLength "Content-Length" b'l';
    ContentType "Content-Type" b'c';
    Route "Route";
    RecordRoute "Record-Route";
    Expires "Expires";
    Allow "Allow";
    Supported "Supported" b'k';
    UserAgent "User-Agent";
    Authorization "Authorization";
    ProxyAuthorization "Proxy-Authorization";
    WwwAuthenticate "WWW-Authenticate";
    ProxyAuthenticate "Proxy-Authenticate";
    AuthenticationInfo "Authentication-Info";
    MinExpires "Min-Expires";
    Require "Require";
    ProxyRequire "Proxy-Require";
    Unsupported "Unsupported";
    PAssertedIdentity "P-Asserted-Identity";
    PPreferredIdentity "P-Preferred-Identity";
    RemotePartyId "Remote-Party-ID";
    PAssociatedUri "P-Associated-URI";
    PCalledPartyId "P-Called-Party-ID";
    PAccessNetworkInfo "P-Access-Network-Info";
    PEarlyMedia "P-Early-Media";
    Privacy "Privacy";
    Path "Path";
    ServiceRoute "Service-Route";
    Event "Event" b'o';
    AllowEvents "Allow-Events" b'u';
    SubscriptionState "Subscription-State";
    ReferTo "Refer-To" b'r';
    ReferredBy "Referred-By" b'b';
    Replaces "Replaces";
    Join "Join";
    TargetDialog "Target-Dialog";
    RAck "RAck";
    RSeq "RSeq";
    RetryAfter "Retry-After";
    Warning "Warning";
    Server "Server";
    Date "Date";
    Timestamp "Timestamp";
    SessionExpires "Session-Expires" b'x';
    MinSe "Min-SE";
    AlertInfo "Alert-Info";
    CallInfo "Call-Info";
    ErrorInfo "Error-Info";
    Reason "Reason";
    Subject "Subject" b's';
    Organization "Organization";
    Priority "Priority";
    InReplyTo "In-Reply-To";
    ReplyTo "Reply-To";
    Accept "Accept";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    ContentDisposition "Content-Disposition";
    ContentEncoding "Content-Encoding" b'e';
    ContentLanguage "Content-Language";
    MimeVersion "MIME-Version";
    SipEtag "SIP-ETag";
    SipIfMatch "SIP-If-Match";
    Diversion "Diversion";
    HistoryInfo "History-Info";
    Identity "Identity" b'y';
    AcceptContact "Accept-Contact" b'a';
    RejectContact "Reject-Contact" b'j';
    RequestDisposition "Request-Disposition" b'd';
    AnswerMode "Answer-Mode";
    PrivAnswerMode "Priv-Answer-Mode";
    FlowTimer "Flow-Timer";
    MaxBreadth "Max-Breadth";
    InfoPackage "Info-Package";
    RecvInfo "Recv-Info";
    Geolocation "Geolocation";
    SessionId "Session-ID";
    CosipChallenge "CoSIP-Challenge";
}

impl Name {
    /// The name that `text` spells, in any case or in compact form.
    pub fn parse(text: &str) -> Self {
        if let [letter] = text.as_bytes() {
            let letter = letter.to_ascii_lowercase();
            let found = NAMES.iter().find(|(_, _, compact)| *compact == letter && letter != 0);
            return found.map_or(Self::Other, |(name, _, _)| *name);
        }
        let known = |name: &&(Self, &str, u8)| {
            name.1.len() == text.len() && name.1.eq_ignore_ascii_case(text)
        };
        NAMES.iter().find(known).map_or(Self::Other, |(name, _, _)| *name)
    }

    /// Whether one line may hold several values, separated by commas (RFC 3261 section 7.3.1).
    pub const fn is_list(self) -> bool {
        matches!(
            self,
            Self::Via
                | Self::Contact
                | Self::Route
                | Self::RecordRoute
                | Self::Allow
                | Self::Supported
                | Self::Require
                | Self::ProxyRequire
                | Self::Unsupported
                | Self::PAssertedIdentity
                | Self::PPreferredIdentity
                | Self::RemotePartyId
                | Self::PAssociatedUri
                | Self::PAccessNetworkInfo
                | Self::PEarlyMedia
                | Self::Path
                | Self::ServiceRoute
                | Self::AllowEvents
                | Self::Warning
                | Self::AlertInfo
                | Self::CallInfo
                | Self::ErrorInfo
                | Self::Reason
                | Self::InReplyTo
                | Self::Accept
                | Self::AcceptEncoding
                | Self::AcceptLanguage
                | Self::ContentEncoding
                | Self::ContentLanguage
                | Self::Diversion
                | Self::HistoryInfo
                | Self::AcceptContact
                | Self::RejectContact
                | Self::RequestDisposition
                | Self::RecvInfo
                | Self::Geolocation
        )
    }

    /// Whether a message may hold the header once at most: what a second one would make
    /// ambiguous, and what decides where a message belongs.
    pub const fn is_single(self) -> bool {
        matches!(
            self,
            Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::ContentLength
                | Self::ContentType
                | Self::Expires
                | Self::MinExpires
                | Self::Event
                | Self::SubscriptionState
                | Self::ReferTo
                | Self::Replaces
                | Self::RAck
                | Self::RSeq
                | Self::SessionExpires
                | Self::MinSe
        )
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! methods {
    ($($variant:ident $text:literal;)*) => {
        /// A request's method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method<'a> {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// Any other token.
            Other(&'a str),
        }

        impl<'a> Method<'a> {
            /// The method that `text` spells. Case counts.
            pub fn parse(text: &'a str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    _ => Self::Other(text),
                }
            }

            /// The method as it is written.
            pub const fn as_str(self) -> &'a str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }
    };
}

methods! {
    Invite "INVITE";
    Ack "ACK";
    Bye "BYE";
    Cancel "CANCEL";
    Register "REGISTER";
    Options "OPTIONS";
    Message "MESSAGE";
    Prack "PRACK";
    Update "UPDATE";
    Info "INFO";
    Subscribe "SUBSCRIBE";
    Notify "NOTIFY";
    Refer "REFER";
    Publish "PUBLISH";
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
