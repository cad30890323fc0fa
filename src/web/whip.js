// A WHIP publisher (RFC 9725).

import { SessionClient } from "./session.js";

/** Publishes a MediaStream. Events and states are those of SessionClient. */
export class WhipClient extends SessionClient {
  #stream = null;
  #options = {};

  /**
   * Starts, and tries again until `stop`. `codec` is the only video codec to offer ("H264", "VP8",
   * "VP9", "AV1"; nothing leaves the choice to the server), `bitrate` the upper bound of video in
   * bits per second, `hint` a contentHint such as "detail".
   */
  publish(stream, { codec = "", bitrate = 0, hint = "" } = {}) {
    this.#stream = stream;
    this.#options = { codec, bitrate, hint };
    return this.start();
  }

  prepare(peer) {
    const { codec, bitrate, hint } = this.#options;
    for (const track of this.#stream.getTracks()) {
      const video = track.kind === "video";
      if (video && hint) track.contentHint = hint;
      const transceiver = peer.addTransceiver(track, {
        direction: "sendonly",
        streams: [this.#stream],
        sendEncodings: video && bitrate ? [{ maxBitrate: bitrate }] : undefined,
      });
      if (video && codec) offerOnly(transceiver, codec);
    }
  }

  /** Chromium begins at 300 kbit/s, with a picture of half the size, unless the answer says more. */
  received(sdp) {
    const kilobits = Math.min(this.#options.bitrate / 2000, 1500);
    return kilobits > 300 ? startAt(sdp, Math.round(kilobits)) : sdp;
  }

  /** Not every browser heeds `sendEncodings` in a transceiver, so the bound is set once more. */
  async established(peer) {
    const { bitrate } = this.#options;
    const sender = peer.getSenders().find(({ track }) => track?.kind === "video");
    const parameters = sender?.getParameters();
    if (!bitrate || !parameters?.encodings?.length) return;
    parameters.encodings[0].maxBitrate = bitrate;
    await sender.setParameters(parameters).catch(() => {});
  }
}

/** The video codecs that this browser can send and Tidegate can forward, by name. */
export function sendableCodecs() {
  const names = videoCodecs().map(({ mimeType }) => mimeType.split("/")[1].toUpperCase());
  return ["H264", "VP8", "VP9", "AV1", "H265"].filter((name) => names.includes(name));
}

/**
 * Offers this codec alone, with what repairs its losses. A list with the codec first would not do: the
 * server prefers those that HLS can play, and browsers send such lists without anybody's choice.
 */
function offerOnly(transceiver, name) {
  const repairs = /^video\/(rtx|red|ulpfec|flexfec-03)$/i;
  const isWanted = ({ mimeType }) => mimeType.toUpperCase() === `VIDEO/${name.toUpperCase()}`;
  const all = videoCodecs();
  if (!transceiver.setCodecPreferences || !all.some(isWanted)) return;
  const kept = all.filter((codec) => isWanted(codec) || repairs.test(codec.mimeType));
  transceiver.setCodecPreferences(kept);
}

/** The answer with the bitrate to begin with, in kbit/s, in the format parameters of its video. */
function startAt(sdp, kilobits) {
  const [, type] = sdp.match(/^m=video \d+ \S+ (\d+)/m) ?? [];
  if (!type) return sdp;
  const parameter = `x-google-start-bitrate=${kilobits}`;
  const parameters = new RegExp(`^a=fmtp:${type} .*$`, "m");
  if (parameters.test(sdp)) return sdp.replace(parameters, (line) => `${line};${parameter}`);
  const map = new RegExp(`^a=rtpmap:${type} .*$`, "m");
  return sdp.replace(map, (line) => `${line}\r\na=fmtp:${type} ${parameter}`);
}

function videoCodecs() {
  return globalThis.RTCRtpSender?.getCapabilities?.("video")?.codecs ?? [];
}
