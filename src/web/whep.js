// A WHEP player (draft-ietf-wish-whep).

import { SessionClient } from "./session.js";

/**
 * Plays a stream. Events and states are those of SessionClient, and
 * - `media` (detail: { stream }): the MediaStream to show. Each new connection has a new one.
 */
export class WhepClient extends SessionClient {
  #stream = null;

  prepare(peer) {
    const stream = new MediaStream();
    this.#stream = stream;
    for (const kind of ["video", "audio"]) peer.addTransceiver(kind, { direction: "recvonly" });
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

  async established() {
    this.dispatchEvent(new CustomEvent("media", { detail: { stream: this.#stream } }));
  }

  /** The statistics of the connection, or null while there is none. */
  async stats() {
    return (await this.peer?.getStats()) ?? null;
  }
}
