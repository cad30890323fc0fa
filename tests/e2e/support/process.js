// The program under test: a gateway, and publishers made by `tidegate publish`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { until } from "./wait.js";

const BUILT = fileURLToPath(new URL("../../../target/debug/tidegate", import.meta.url));

/** The binary: $TIDEGATE, or what `cargo build` made. */
const TIDEGATE = process.env.TIDEGATE ?? BUILT;

/**
 * Starts `tidegate serve` on free ports of 127.0.0.1, or of the address `on`, for the time of the
 * test `t`. `settings` are configuration keys such as `{ "limits.consent_timeout": "2s" }`. On a
 * `machine` of a network it listens everywhere, and is reached `at` an address.
 */
export async function startGateway(t, settings = {}, { on = "127.0.0.1", port = 0, at = "127.0.0.1", args = [], machine } = {}) {
  const variables = Object.entries(settings).map(([key, value]) => {
    return [`TIDEGATE_${key.toUpperCase().replaceAll(".", "_")}`, String(value)];
  });
  const child = run(["serve", "--listen", `${on}:${port}`, ...args], Object.fromEntries(variables), machine);
  t.after(async () => {
    await child.stop("SIGTERM");
    assert.equal(child.exitCode, 0, `the gateway must end well:\n${child.output}`);
    assert.doesNotMatch(child.output, /panicked|ERROR/);
  });
  const url = await until("the gateway prints where it listens", () => {
    assert.equal(child.exitCode, null, `the gateway must stay up:\n${child.output}`);
    const [, port] = child.output.match(/HTTP on [\d.]+:(\d+)/) ?? [];
    return port && `http://${at}:${port}`;
  });
  return {
    url,
    get output() {
      return child.output;
    },
    /** Ends it before the end of the test. */
    stop: () => child.stop("SIGTERM"),
    async streams(headers = {}) {
      if (machine) return JSON.parse(machine.run("curl", "-sf", `${url}/streams`));
      return (await fetch(`${url}/streams`, { headers })).json();
    },
  };
}

/** Starts `tidegate publish` to `gateway`, for the time of the test `t`. */
export function startPublisher(t, gateway, name, args = []) {
  const child = run(["publish", "--url", `${gateway.url}/whip/${name}`, ...args]);
  t.after(() => child.stop("SIGTERM"));
  return child;
}

/** Waits until the stream is listed, with all its tracks; gives its entry. */
export async function streamIsListed(gateway, name) {
  return until(`${name} is in the list of streams`, async () => {
    return (await gateway.streams()).find((stream) => stream.name === name);
  });
}

function run(args, env = {}, machine = undefined) {
  assert.ok(existsSync(TIDEGATE), `${TIDEGATE} does not exist; build it, or name one in $TIDEGATE`);
  const [program, ...words] = [...(machine?.prefix ?? []), TIDEGATE, ...args];
  const child = spawn(program, words, { env: { ...process.env, ...env } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => (output += text));
  }
  const ended = new Promise((resolve) => child.once("close", resolve));
  return {
    get output() {
      return output;
    },
    get exitCode() {
      return child.exitCode ?? child.signalCode;
    },
    ended,
    /** Sends the signal, waits for the end and kills what does not end. */
    async stop(signal) {
      child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), 10000);
      await ended;
      clearTimeout(timer);
    },
  };
}
