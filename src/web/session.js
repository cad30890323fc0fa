// What WHIP and WHEP clients have in common: one session, made again when it is lost.
//
// The offer goes before candidates are looked for, so that the STUN and TURN servers which come with
// the answer are asked for some, and neither a slow network interface nor a silent server delays the
// start. Candidates follow by PATCH, unless the server can do without: a lite one waits for checks.

import { linksOf } from "./links.js";

/** How long a connection may be interrupted before it is made anew, in milliseconds. */
const PATIENCE = 3000;

/** How long a connection is kept for the answer to its DELETE, in milliseconds. */
const GOODBYE = 500;

/** Over how long those are spread who were told to begin anew, in milliseconds. */
const SPREAD = 1000;

/** The longest pause between two attempts, in milliseconds. */
const LONGEST_PAUSE = 15000;

const NO_MEDIA = "The server can't be reached, neither over UDP nor over TCP.";

const FRAGMENT = "application/trickle-ice-sdpfrag";

/**
 * A session of an endpoint, kept up until `stop`.
 *
 * Events:
 * - `state` (detail: { state, problem, retryIn }): "connecting", "connected", "offline" (the server
 *   has nothing for us yet), "waiting" (before the next attempt) or "stopped";
 * - `unreachable` (detail: { problem }): the server made a session, but no connection came of it. The
 *   client tries on unless it is stopped.
 */
export class SessionClient extends EventTarget {
  #home;
  #url;
  #token;
  #connectTime;
  #peer = null;
  #session = null;
  #state = "stopped";
  // A number that changes with every attempt, so that what an old one still has to say is ignored.
  #attempt = 0;
  #failures = 0;
  #retryTimer = 0;
  #onHide = () => this.#close({ keepalive: true });
  #onShow = (event) => {
    if (event.persisted) this.#connect();
  };

  /**
   * `url` is the endpoint, as in `/whip/demo`; `connectTime` how long ICE and DTLS may take, in
   * milliseconds.
   */
  constructor(url, { token = "", connectTime = 6000 } = {}) {
    super();
    this.#home = new URL(url, location.href).href;
    this.#url = this.#home;
    this.#token = token;
    this.#connectTime = connectTime;
  }

  get state() {
    return this.#state;
  }

  /** The RTCPeerConnection of now; null between attempts. */
  get peer() {
    return this.#peer;
  }

  /** The session's URL, once there is one. */
  get sessionUrl() {
    return this.#session?.url ?? null;
  }

  /** The links of the session, once there is one: see `linksOf`. */
  get links() {
    return this.#session?.links ?? [];
  }

  /** Headers that show the right to use the session. */
  get authorization() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  /** Starts, and tries again until `stop`. */
  start() {
    this.#failures = 0;
    addEventListener("pagehide", this.#onHide);
    addEventListener("pageshow", this.#onShow);
    return this.#connect();
  }

  /** Ends the session and tells the server. */
  async stop() {
    removeEventListener("pagehide", this.#onHide);
    removeEventListener("pageshow", this.#onShow);
    const closed = this.#close();
    this.#setState("stopped");
    await closed;
  }

  /**
   * Begins anew at `url`, or at the endpoint of its own. Many may be told so at once; they don't come
   * back at once. If it is not to be had there, the next attempt is made at home.
   */
  moveTo(url = "") {
    quietly(this.#close());
    this.#url = url ? new URL(url, this.#url).href : this.#home;
    this.#retryTimer = setTimeout(() => this.#connect(), Math.random() * SPREAD);
    this.#setState("connecting");
  }

  /** For the two kinds: adds the transceivers to offer. */
  prepare(_peer) {}

  /** For the two kinds: the offer of the browser, before it is put in place. */
  offered(sdp) {
    return sdp;
  }

  /** For the two kinds: the answer of the server, before it is put in place. */
  received(sdp) {
    return sdp;
  }

  /** For the two kinds: the answer is in place. */
  async established(_peer) {}

  /** For the two kinds: the session is over, or has never begun. */
  released() {}

  async #connect() {
    quietly(this.#close());
    const attempt = this.#attempt;
    const current = () => attempt === this.#attempt;
    this.#setState("connecting");
    try {
      const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
      this.#peer = peer;
      peer.addEventListener("connectionstatechange", () => {
        if (current()) this.#onConnection(peer, current);
      });
      this.prepare(peer);
      const offer = await peer.createOffer();
      offer.sdp = this.offered(offer.sdp);
      const answer = await exchange(this.#url, this.authorization, offer.sdp);
      if (!current()) {
        quietly(end(answer.session));
        return;
      }
      this.#session = answer.session;
      const iceServers = iceServersOf(answer.session.links);
      if (iceServers.length > 0) peer.setConfiguration({ ...peer.getConfiguration(), iceServers });
      const found = new Candidates(peer);
      await peer.setLocalDescription(offer);
      await peer.setRemoteDescription({ type: "answer", sdp: this.received(answer.sdp) });
      if (!current()) return;
      if (!/^a=ice-lite\b/m.test(answer.sdp)) {
        found.each((candidates) => current() && this.#trickle(peer, candidates));
      }
      this.#watchClose(peer, current);
      setTimeout(() => {
        if (current() && this.#state === "connecting") this.#unreachable(NO_MEDIA, current);
      }, this.#connectTime);
      await this.established(peer);
    } catch (error) {
      if (!current()) return;
      if (this.#session) this.#unreachable(error.message, current);
      else this.#again(error);
    }
  }

  #onConnection(peer, current) {
    if (peer.connectionState === "connected") {
      this.#failures = 0;
      this.#setState("connected");
    } else if (peer.connectionState === "failed" && this.#state === "connecting") {
      this.#unreachable(NO_MEDIA, current);
    } else if (peer.connectionState === "failed") {
      this.#again(new Error("The connection was lost."));
    } else if (peer.connectionState === "disconnected") {
      setTimeout(() => {
        const gone = current() && peer.connectionState === "disconnected";
        if (gone) this.#again(new Error("The server does not answer any more."));
      }, PATIENCE);
    }
  }

  /** The server ends a session by closing DTLS, which ICE would notice much later. */
  #watchClose(peer, current) {
    const [transceiver] = peer.getTransceivers();
    const transport = transceiver?.sender.transport ?? transceiver?.receiver.transport;
    transport?.addEventListener("statechange", () => {
      const closed = transport.state === "closed" || transport.state === "failed";
      if (closed && current()) this.#again(new Error("The server ended the session."));
    });
  }

  #trickle(peer, candidates) {
    const body = fragment(peer.localDescription.sdp, candidates);
    const { url, etag, authorization } = this.#session ?? {};
    if (!body || !url) return;
    const headers = { ...authorization, "Content-Type": FRAGMENT, "If-Match": etag };
    quietly(fetch(url, { method: "PATCH", headers, body }));
  }

  #unreachable(reason, current) {
    const problem = problemOf(new Error(reason));
    this.dispatchEvent(new CustomEvent("unreachable", { detail: { problem } }));
    // Whoever listens may have stopped this client, to play another way.
    if (current()) this.#again(new Error(reason));
  }

  #again(error) {
    quietly(this.#close());
    const problem = problemOf(error);
    if (problem.final) {
      this.#setState("stopped", { problem });
      return;
    }
    // Clients that failed together must not come back together.
    const asked = problem.retryAfter ?? Math.min(LONGEST_PAUSE, 500 * 2 ** this.#failures);
    const retryIn = asked * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#url = this.#home;
    this.#retryTimer = setTimeout(() => this.#connect(), retryIn);
    this.#setState(problem.status === 409 ? "offline" : "waiting", { problem, retryIn });
  }

  async #close({ keepalive = false } = {}) {
    this.#attempt += 1;
    clearTimeout(this.#retryTimer);
    const [session, peer] = [this.#session, this.#peer];
    this.#session = null;
    this.#peer = null;
    this.released();
    // The request goes first, so that the server hears a good-bye rather than a loss.
    const ended = quietly(end(session, keepalive));
    if (session && !keepalive) await Promise.race([ended, pause(GOODBYE)]);
    peer?.close();
    await ended;
  }

  #setState(state, detail = {}) {
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...detail } }));
  }
}

/** An answer of the server that is not a success. */
export class ServerProblem extends Error {
  constructor(status, text, retryAfter) {
    super(text);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Reads the problem details (RFC 9457) of a response. */
async function problemFrom(response) {
  const type = response.headers.get("Content-Type") ?? "";
  const details = type.includes("json") ? await response.json().catch(() => null) : null;
  const text = details?.detail ?? `The server answered ${response.status} ${response.statusText}.`;
  const seconds = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const retryAfter = Number.isFinite(seconds) ? seconds * 1000 : undefined;
  return new ServerProblem(response.status, text, retryAfter);
}

/** fetch, whose every failure is an error in words for people. */
export async function request(url, options) {
  const response = await fetch(url, options).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error("The server can't be reached.");
  });
  if (!response.ok) throw await problemFrom(response);
  return response;
}

/**
 * An error, and what it means for the next attempt: `retryAfter` in milliseconds when the server
 * named a time, `final` when trying again can't help.
 */
export function problemOf(error) {
  const status = error.status ?? 0;
  const passing = [0, 404, 408, 409, 412, 429].includes(status) || status >= 500;
  return { text: error.message, status, retryAfter: error.retryAfter, final: !passing };
}

/** The candidates of a connection as they are found, one or more at a time. */
class Candidates {
  #found = [];
  #take = null;

  constructor(peer) {
    peer.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.candidate) this.#found.push(candidate.candidate);
      this.#flush();
    });
  }

  /** Hands over what was found until now, and all that will be. */
  each(take) {
    this.#take = take;
    this.#flush();
  }

  #flush() {
    if (this.#take && this.#found.length > 0) this.#take(this.#found.splice(0));
  }
}

async function exchange(url, authorization, offer) {
  const headers = {
    ...authorization,
    "Content-Type": "application/sdp",
    // A reason is of more use here than an offer of the server's: this browser offered all it has.
    Accept: "application/problem+json, application/sdp;q=0.9",
  };
  const response = await request(url, { method: "POST", headers, body: offer });
  const from = response.url || url;
  const place = response.headers.get("Location");
  const session = {
    url: place && new URL(place, from).href,
    etag: response.headers.get("ETag") ?? "*",
    links: linksOf(response.headers, from),
    authorization,
  };
  return { sdp: await response.text(), session };
}

/** The STUN and TURN servers that the answer came with (RFC 9725, section 4.6). */
function iceServersOf(links) {
  const servers = links.filter(({ rel }) => rel === "ice-server");
  return servers.map(({ url, username, credential }) => ({ urls: url, username, credential }));
}

async function end(session, keepalive = false) {
  if (!session?.url) return;
  await fetch(session.url, { method: "DELETE", headers: session.authorization, keepalive });
}

/** A trickle fragment (RFC 8840) for the one transport of a bundle. */
function fragment(sdp, candidates) {
  const wanted = [/^a=ice-ufrag:.*$/m, /^a=ice-pwd:.*$/m, /^m=.*$/m, /^a=mid:.*$/m];
  const lines = wanted.map((pattern) => sdp.match(pattern)?.[0].trim());
  if (lines.includes(undefined)) return null;
  const all = [...lines, ...candidates.map((candidate) => `a=${candidate}`)];
  return `${all.join("\r\n")}\r\n`;
}

function pause(time) {
  return new Promise((resolve) => setTimeout(resolve, time));
}

/** Waits for something whose failure changes nothing. */
function quietly(promise) {
  return promise.catch(() => {});
}

/**
 * Asks for dependency descriptors, which Chromium offers only if told to: without them it can't put together AV1 in
 * spatial layers, and nobody can tell the temporal layers of H264 apart.
 */
export function takeDescriptors(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
  const wanted = extensions?.find(({ uri }) => uri.endsWith("#dependency-descriptor-rtp-header-extension"));
  if (!wanted) return;
  wanted.direction = "sendrecv";
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}
