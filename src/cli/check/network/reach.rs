//! Whether a question to an address that clients are told comes in at our port, and its answer back.
//!
//! Asked from this machine, so an address outside of a NAT is reached only if the NAT leads back in, which
//! many don't: silence there proves nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ports::Holder;
use super::report::{Finding, Report, Section};
use crate::network::stun::{self, Binding, BindingError};
use crate::network::{Announced, Announcement, Scope, put};
use crate::sdp::IceCredentials;

/// How long TCP may take to connect, and how long for the answer then.
const TCP_PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Protocol {
    Udp,
    Tcp,
}

/// What came of a question.
enum Outcome {
    /// The answer took this long.
    Answered(Duration),
    /// None came.
    Silent,
    /// The connection was closed without one.
    HungUp,
    /// TCP was refused, or nothing can be sent there.
    Refused(io::Error),
}

pub(super) async fn look(holder: Holder, announcement: &Announcement, report: &mut Report) {
    // Who answers ends with this function.
    let mut answering = JoinSet::new();
    let mut asked: Vec<(Protocol, Announced)> = Vec::new();
    let (ice, session) = match holder {
        Holder::Nobody => return,
        Holder::Gateway(gateway) => {
            for announced in &announcement.announced {
                asked.push((Protocol::Udp, announced.clone()));
                asked.push((Protocol::Tcp, announced.clone()));
            }
            (Some(gateway.ice.clone()), Some(gateway))
        }
        Holder::Us { udp, tcp } => {
            for announced in &announcement.announced {
                if udp.is_some() {
                    asked.push((Protocol::Udp, announced.clone()));
                }
                if !tcp.is_empty() {
                    asked.push((Protocol::Tcp, announced.clone()));
                }
            }
            if let Some(socket) = udp.and_then(|udp| UdpSocket::from_std(udp).ok()) {
                answering.spawn(answer_udp(socket));
            }
            for listener in tcp {
                answering.spawn(answer_tcp(listener));
            }
            (None, None)
        }
    };
    asked.sort_by_key(|(protocol, _)| *protocol);

    let mut questions = JoinSet::new();
    for (index, (protocol, announced)) in asked.iter().enumerate() {
        let (to, ice) = match protocol {
            Protocol::Udp => (announced.udp, ice.clone()),
            Protocol::Tcp => match announced.tcp {
                Some(tcp) => (tcp, ice.clone()),
                None => continue,
            },
        };
        let protocol = *protocol;
        questions.spawn(async move {
            let start = Instant::now();
            let outcome = match protocol {
                Protocol::Udp => ask_udp(to, ice.as_ref()).await,
                Protocol::Tcp => ask_tcp(to, ice.as_ref()).await,
            };
            let outcome = match outcome {
                Ok(true) => Outcome::Answered(Instant::now() - start),
                Ok(false) => Outcome::Silent,
                Err(error) if hung_up(&error) => Outcome::HungUp,
                Err(error) => Outcome::Refused(error),
            };
            (index, to, outcome)
        });
    }
    let mut outcomes = questions.join_all().await;
    outcomes.sort_by_key(|(index, ..)| *index);
    for (index, to, outcome) in outcomes {
        let (protocol, announced) = &asked[index];
        report.add(Section::Reach, finding(*protocol, announced, to, outcome));
    }
    if let Some(session) = session {
        session.end().await;
    }
}

fn finding(protocol: Protocol, announced: &Announced, to: SocketAddr, outcome: Outcome) -> Finding {
    let (check, name) = match protocol {
        Protocol::Udp => ("reach.udp", "UDP"),
        Protocol::Tcp => ("reach.tcp", "TCP"),
    };
    let subject = format!("{name} {to}");
    let text = match outcome {
        Outcome::Answered(time) => {
            return Finding::ok(
                check,
                subject,
                format!("answered in {:.1} ms", time.as_secs_f64() * 1e3),
            );
        }
        Outcome::HungUp => {
            return Finding::fail(check, subject, "who answers here takes no media by TCP")
                .remedy("give the settings of the gateway that runs; is its `media.tcp` off?");
        }
        Outcome::Silent => "no answer".to_owned(),
        Outcome::Refused(error) => error.to_string(),
    };
    let port = to.port();
    if announced.is_here() || to.ip().is_loopback() {
        let finding = Finding::fail(check, subject, text);
        return finding.remedy(format!(
            "a firewall on this machine? Allow {name} port {port}"
        ));
    }
    // A NAT that does not lead back in looks like one that forwards nothing.
    let remedy = format!(
        "perhaps the NAT forwards no {name} port {port} to this machine, or just does not lead back in; only a \
         client outside can tell: tidegate watch URL"
    );
    let scope = Scope::of(to.ip());
    let why = if scope == Scope::Public {
        ", which proves nothing from inside"
    } else {
        ""
    };
    Finding::warn(check, subject, format!("{text}{why}")).remedy(remedy)
}

fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn question(to: SocketAddr, ice: Option<&IceCredentials>) -> Result<Binding, BindingError> {
    let now = Instant::now();
    match ice {
        Some(ice) => Binding::check(now, to, rand::random(), ice),
        None => Ok(Binding::new(now, to, rand::random())),
    }
}

async fn ask_udp(to: SocketAddr, ice: Option<&IceCredentials>) -> io::Result<bool> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let question = question(to, ice).map_err(io::Error::other)?;
    let mapping = put(SocketAddr::new(any, 0), question).await?;
    Ok(is_answer(mapping.outcome))
}

/// A refusal is an answer too.
fn is_answer(outcome: Result<SocketAddr, BindingError>) -> bool {
    !matches!(outcome, Err(BindingError::Silent | BindingError::NoCrypto))
}

async fn ask_tcp(to: SocketAddr, ice: Option<&IceCredentials>) -> io::Result<bool> {
    let mut question = question(to, ice).map_err(io::Error::other)?;
    let asking = async {
        let mut stream = TcpStream::connect(to).await?;
        write_frame(&mut stream, question.request()).await?;
        let answer = read_frame(&mut stream).await?;
        question.handle_datagram(&answer);
        Ok(question.outcome().is_some_and(is_answer))
    };
    match timeout(TCP_PATIENCE, asking).await {
        Ok(answered) => answered,
        Err(_) => Ok(false),
    }
}

async fn answer_udp(socket: UdpSocket) {
    let mut datagram = [0; 1_500];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut datagram).await
            && let Some(answer) = stun::answer(&datagram[..length], from)
        {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// One connection after another: those are our own, and strangers get no more than their turn.
async fn answer_tcp(listener: TcpListener) {
    loop {
        let Ok((mut stream, from)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(timeout(TCP_PATIENCE, async move {
            let request = read_frame(&mut stream).await?;
            match stun::answer(&request, from) {
                Some(answer) => write_frame(&mut stream, &answer).await,
                None => Ok(()),
            }
        }));
    }
}

/// As ICE over TCP does: two bytes of length, then the message (RFC 4571, section 2).
async fn write_frame(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let frame = [&length.to_be_bytes()[..], message].concat();
    stream.write_all(&frame).await
}

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
