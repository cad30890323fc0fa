// The Link fields of an answer (RFC 8288).

/** A link: its target, and its parameters with a quoted or a plain value. */
const LINK = /<([^>]*)>((?:\s*;\s*[\w-]+(?:=(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)/g;
const PARAMETER = /;\s*([\w-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/g;

/** The links as objects: `url`, made absolute by `base`, and the parameters by name. */
export function linksOf(headers, base) {
  const links = (headers.get("Link") ?? "").matchAll(LINK);
  return [...links].map(([, target, parameters]) => {
    const link = { url: new URL(target, base).href };
    for (const [, name, quoted, plain] of parameters.matchAll(PARAMETER)) {
      link[name.toLowerCase()] = quoted?.replace(/\\(.)/g, "$1") ?? plain ?? "";
    }
    return link;
  });
}
