// A WHIP publisher (RFC 9725).

import { SessionClient } from "./session.js";

/** Publishes a MediaStream. Events and states are those of SessionClient. */
export class WhipClient extends SessionClient {
  #stream = null;
  #options = {};

  /**
   * Starts, and tries again until `stop`. `codec` is the video codec to prefer ("H264", "VP8",
   * "VP9", "AV1"), `bitrate` the upper bound of video in bits per second, `hint` a contentHint such
   * as "detail".
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
      if (video && codec) preferCodec(transceiver, codec);
    }
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

/** Puts the codec first. The others stay in the offer, so that the server can still choose. */
function preferCodec(transceiver, name) {
  const all = videoCodecs();
  const isWanted = ({ mimeType }) => mimeType.toUpperCase() === `VIDEO/${name.toUpperCase()}`;
  if (!transceiver.setCodecPreferences || !all.some(isWanted)) return;
  const others = all.filter((codec) => !isWanted(codec));
  transceiver.setCodecPreferences([...all.filter(isWanted), ...others]);
}

function videoCodecs() {
  return globalThis.RTCRtpSender?.getCapabilities?.("video")?.codecs ?? [];
}
