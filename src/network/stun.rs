//! A binding transaction with a STUN server (RFC 8489): which address do we have out there?
//!
//! Pure: the caller sends, receives and tells the time. Nothing in an answer is believed but the
//! address, and that only if the answer has the number of our request, which nobody off the path knows.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtc::stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USERNAME};
use rtc::stun::error_code::ErrorCodeAttribute;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Getter as _, Message, Setter as _,
    TransactionId,
};
use rtc::stun::textattrs::TextAttribute;
use rtc::stun::xoraddr::XorMappedAddress;

use crate::sdp::IceCredentials;

/// The port of STUN (RFC 8489, section 18.6).
pub const PORT: u16 = 3478;

/// The first wait for an answer; it doubles with each request (RFC 8489, section 6.2.1).
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// No answer is waited for longer than this, three requests in all.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// A question to one server.
#[derive(Debug)]
pub struct Binding {
    server: SocketAddr,
    transaction: TransactionId,
    request: Vec<u8>,
    /// When to send again.
    next: Instant,
    wait: Duration,
    gives_up: Instant,
    outcome: Option<Result<SocketAddr, BindingError>>,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// It did not answer in time.
    #[error("it did not answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    /// It refused.
    #[error("it refused with the error {0}")]
    Refused(u16),
    /// It answered without an address.
    #[error("its answer holds no address")]
    NoAddress,
    /// The question can't be signed.
    #[error("this build has no HMAC-SHA1")]
    NoCrypto,
}

impl Binding {
    /// A question to `server` that begins now. `transaction` is random.
    pub fn new(now: Instant, server: SocketAddr, transaction: [u8; 12]) -> Self {
        let request = message(BINDING_REQUEST, TransactionId(transaction)).raw;
        Self::with_request(now, server, transaction, request)
    }

    /// A connectivity check of the ICE session with these credentials of `server` (RFC 8445, section
    /// 7.2), which nominates nothing.
    ///
    /// # Errors
    ///
    /// [`BindingError::NoCrypto`].
    pub fn check(
        now: Instant,
        server: SocketAddr,
        transaction: [u8; 12],
        credentials: &IceCredentials,
    ) -> Result<Self, BindingError> {
        let request =
            check(TransactionId(transaction), credentials).ok_or(BindingError::NoCrypto)?;
        Ok(Self::with_request(now, server, transaction, request))
    }

    fn with_request(
        now: Instant,
        server: SocketAddr,
        transaction: [u8; 12],
        request: Vec<u8>,
    ) -> Self {
        Self {
            server,
            transaction: TransactionId(transaction),
            request,
            next: now,
            wait: FIRST_WAIT,
            gives_up: now + PATIENCE,
            outcome: None,
        }
    }

    /// The question, for transports that lose nothing.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Whom it asks.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// What came of it, once it is over.
    pub fn outcome(&self) -> Option<Result<SocketAddr, BindingError>> {
        self.outcome
    }

    /// A datagram to send to the server, if it is time for one.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]> {
        if self.outcome.is_some() || now < self.next {
            return None;
        }
        self.next = now + self.wait;
        self.wait *= 2;
        Some(&self.request)
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_transmit`] again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.outcome.is_none().then(|| self.next.min(self.gives_up))
    }

    /// Gives up when the time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outcome.is_none() && now >= self.gives_up {
            self.outcome = Some(Err(BindingError::Silent));
        }
    }

    /// Takes a datagram in. What is not the answer to this question is passed over.
    pub fn handle_datagram(&mut self, datagram: &[u8]) {
        if self.outcome.is_some() {
            return;
        }
        let Some(answer) =
            decode(datagram).filter(|answer| answer.transaction_id == self.transaction)
        else {
            return;
        };
        self.outcome = match answer.typ {
            BINDING_SUCCESS => {
                let mut mapped = XorMappedAddress::default();
                let address = mapped
                    .get_from(&answer)
                    .ok()
                    .map(|()| SocketAddr::new(mapped.ip, mapped.port))
                    .filter(|address| address.port() != 0 && !address.ip().is_unspecified());
                Some(address.ok_or(BindingError::NoAddress))
            }
            BINDING_ERROR => {
                let mut error = ErrorCodeAttribute::default();
                // A refusal without a code is one all the same.
                let _ = error.get_from(&answer);
                Some(Err(BindingError::Refused(error.code.0)))
            }
            _ => None,
        };
    }
}

/// The answer of a server to `request` from `source`; `None` if it is no binding request. For the
/// self-test, which asks itself; media sockets answer only what is authenticated.
pub fn answer(request: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let request = decode(request).filter(|request| request.typ == BINDING_REQUEST)?;
    let mut answer = message(BINDING_SUCCESS, request.transaction_id);
    let mapped = XorMappedAddress {
        ip: source.ip().to_canonical(),
        port: source.port(),
    };
    mapped.add_to(&mut answer).ok()?;
    Some(answer.raw)
}

fn check(transaction: TransactionId, credentials: &IceCredentials) -> Option<Vec<u8>> {
    let IceCredentials { ufrag, pwd } = credentials;
    let provider = rtc::crypto::default_provider().ok()?;
    let mut request = message(BINDING_REQUEST, transaction);
    TextAttribute::new(ATTR_USERNAME, format!("{ufrag}:check"))
        .add_to(&mut request)
        .ok()?;
    request.add(ATTR_PRIORITY, &[0, 0, 0, 1]);
    request.add(ATTR_ICE_CONTROLLING, &[0; 8]);
    MessageIntegrity::new_short_term_integrity_with_provider(pwd.clone(), provider.crypto())
        .add_to(&mut request)
        .ok()?;
    FINGERPRINT.add_to(&mut request).ok()?;
    Some(request.raw)
}

fn decode(datagram: &[u8]) -> Option<Message> {
    let mut message = Message::new();
    message.unmarshal_binary(datagram).ok()?;
    Some(message)
}

fn message(kind: rtc::stun::message::MessageType, transaction: TransactionId) -> Message {
    let mut message = Message::new();
    message.set_type(kind);
    message.transaction_id = transaction;
    message.write_header();
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::stun::attributes::ATTR_ERROR_CODE;

    use super::*;

    const ID: [u8; 12] = [7; 12];

    fn server() -> SocketAddr {
        "192.0.2.1:3478".parse().unwrap()
    }

    fn asked(now: Instant) -> (Binding, Vec<u8>) {
        let mut binding = Binding::new(now, server(), ID);
        let request = binding.poll_transmit(now).unwrap().to_vec();
        (binding, request)
    }

    #[test]
    fn the_address_that_the_server_saw_is_the_outcome() {
        for source in ["203.0.113.9:40000", "[2001:db8::9]:443"] {
            let now = Instant::now();
            let (mut binding, request) = asked(now);
            let source: SocketAddr = source.parse().unwrap();
            binding.handle_datagram(&answer(&request, source).unwrap());
            assert_eq!(binding.outcome(), Some(Ok(source)));
            assert_eq!(
                (binding.poll_timeout(), binding.poll_transmit(now)),
                (None, None)
            );
        }
    }

    #[test]
    fn it_asks_three_times_and_gives_up_after_three_seconds() {
        let start = Instant::now();
        let mut binding = Binding::new(start, server(), ID);
        let mut sent = Vec::new();
        let mut now = start;
        loop {
            binding.handle_timeout(now);
            if binding.poll_transmit(now).is_some() {
                sent.push((now - start).as_millis());
            }
            match binding.poll_timeout() {
                Some(next) => now = next,
                None => break,
            }
        }
        assert_eq!(sent, [0, 500, 1500]);
        assert_eq!(now - start, PATIENCE);
        assert_eq!(binding.outcome(), Some(Err(BindingError::Silent)));
    }

    #[test]
    fn what_is_no_answer_to_this_question_is_passed_over() {
        let (mut binding, request) = asked(Instant::now());
        let mut foreign = answer(&request, server()).unwrap();
        foreign[19] ^= 1;
        for datagram in [&foreign[..], &request, b"", b"\x01\x01", &[0x80; 20]] {
            binding.handle_datagram(datagram);
            assert_eq!(binding.outcome(), None);
        }
    }

    #[test]
    fn a_refusal_and_an_answer_without_address_are_told_apart() {
        let (mut binding, _) = asked(Instant::now());
        let mut refusal = message(BINDING_ERROR, TransactionId(ID));
        refusal.add(ATTR_ERROR_CODE, &[0, 0, 4, 20]);
        binding.handle_datagram(&refusal.raw);
        assert_eq!(binding.outcome(), Some(Err(BindingError::Refused(420))));

        let (mut binding, _) = asked(Instant::now());
        binding.handle_datagram(&message(BINDING_SUCCESS, TransactionId(ID)).raw);
        assert_eq!(binding.outcome(), Some(Err(BindingError::NoAddress)));
    }

    #[test]
    fn only_a_request_is_answered() {
        assert_eq!(answer(b"hello", server()), None);
        let success = message(BINDING_SUCCESS, TransactionId(ID));
        assert_eq!(answer(&success.raw, server()), None);
    }

    proptest! {
        #[test]
        fn random_answers_never_panic(tail in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = message(BINDING_SUCCESS, TransactionId(ID)).raw;
            bytes[2..4].copy_from_slice(&(tail.len() as u16).to_be_bytes());
            bytes.extend(tail);
            let (mut binding, _) = asked(Instant::now());
            binding.handle_datagram(&bytes);
            let _ = answer(&bytes, server());
        }
    }
}
