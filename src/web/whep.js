// A WHEP player (draft-ietf-wish-whep) with its extensions: events and layers.

import { SessionClient, request, takeDescriptors } from "./session.js";

const EXTENSION = "urn:ietf:params:whep:ext:core:";
const JSON_TYPE = { "Content-Type": "application/json" };

/**
 * Plays a stream. Events and states are those of SessionClient, and
 * - `media` (detail: { stream }): the MediaStream to show. Each new connection has a new one;
 * - `presence` (detail: { active }): the publisher is there or not. Playback goes on by itself;
 * - `viewers` (detail: { count });
 * - `layers` (detail: { layers }): what can be chosen by `selectLayer`, as
 *   `[{ mediaId, rid, width, height, bitrate, … }]`.
 */
export class WhepClient extends SessionClient {
  #stream = null;
  #events = null;

  prepare(peer) {
    const stream = new MediaStream();
    this.#stream = stream;
    for (const kind of ["video", "audio"]) takeDescriptors(peer.addTransceiver(kind, { direction: "recvonly" }));
    peer.addEventListener("track", ({ track, receiver }) => {
      // Frames are shown as they come: no buffer beyond what the network makes needed.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      stream.addTrack(track);
    });
  }

  /** Browsers decode Opus to one channel unless their own offer asks for two (RFC 7587, section 7). */
  offered(sdp) {
    const maps = sdp.matchAll(/^a=rtpmap:(\d+) opus\//gim);
    const types = new Set([...maps].map(([, type]) => type));
    return sdp.replace(/^a=fmtp:(\d+) .*$/gm, (line, type) => {
      return types.has(type) && !/[ ;]stereo=/.test(line) ? `${line};stereo=1` : line;
    });
  }

  async established(peer) {
    this.#tell("media", { stream: this.#stream });
    // Playback does not depend on events.
    await this.#listen(() => peer === this.peer).catch(() => {});
  }

  released() {
    this.#events?.close();
    this.#events = null;
  }

  /** The statistics of the connection, or null while there is none. */
  async stats() {
    return (await this.peer?.getStats()) ?? null;
  }

  /** Asks for a layer of those that were told; without one, the server chooses. */
  async selectLayer({ mediaId, rid, spatialLayerId, temporalLayerId } = {}) {
    const link = this.#link("layer");
    if (!link) throw new Error("The server offers no choice of layers.");
    const body = JSON.stringify({ mediaId, rid, spatialLayerId, temporalLayerId });
    await request(link.url, { method: "POST", headers: this.#headers(), body });
  }

  #link(name) {
    return this.links.find(({ rel }) => rel === EXTENSION + name);
  }

  #headers() {
    return { ...JSON_TYPE, ...this.authorization };
  }

  async #listen(current) {
    const link = this.#link("server-sent-events");
    if (!link) return;
    const known = ["active", "inactive", "layers", "reconnect", "viewercount"];
    const offered = link.events ? link.events.split(/\s*,\s*/) : known;
    const body = JSON.stringify(known.filter((name) => offered.includes(name)));
    const made = await request(link.url, { method: "POST", headers: this.#headers(), body });
    const place = made.headers.get("Location");
    if (!place || !current()) return;
    // The browser comes back by itself when the connection is lost, until the stream is gone (404).
    const events = new EventSource(new URL(place, made.url));
    this.#events = events;
    const on = (name, take) => {
      events.addEventListener(name, ({ data }) => current() && take(JSON.parse(data)));
    };
    on("active", () => this.#tell("presence", { active: true }));
    on("inactive", () => this.#tell("presence", { active: false }));
    on("viewercount", ({ viewercount }) => this.#tell("viewers", { count: viewercount }));
    on("layers", (media) => this.#tell("layers", { layers: flat(media) }));
    on("reconnect", ({ url }) => this.moveTo(url));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** The layers of all m-lines in one list. */
function flat(media) {
  return Object.entries(media).flatMap(([mediaId, layers]) => {
    return layers.map((layer) => ({ mediaId, ...layer }));
  });
}
