// The first page: what is live, and the way to the other pages.

import { request } from "./session.js";
import { byId, optionsOfPage, sentence, showNotice, tokenFragment, withToken } from "./page.js";

const EVERY = 3000;

const token = byId("token");
token.value = optionsOfPage().get("token") ?? "";
let shown = "";

byId("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const page = event.submitter?.value ?? "watch";
  location.href = `/${page}/${byId("name").value}${tokenFragment(token.value)}`;
});
byId("name").addEventListener("input", showAddresses);
token.addEventListener("change", refresh);
showAddresses();

/** One request after the other, and none while nobody looks. */
async function follow() {
  if (!document.hidden) await refresh();
  setTimeout(follow, EVERY);
}
follow();

async function refresh() {
  try {
    const response = await request("/streams", { headers: withToken(token.value) });
    show(await response.json());
    showNotice(byId("notice"), "");
  } catch (error) {
    const locked = error.status === 401;
    const text = locked ? "The list needs a token; enter it below." : sentence(error.message);
    showNotice(byId("notice"), text, "bad");
  }
}

function show(streams) {
  // The list is made anew only when it changed, so that the focus stays where it is.
  const state = JSON.stringify([streams, token.value]);
  if (state === shown) return;
  shown = state;
  byId("count").textContent = streams.length === 1 ? "1 stream" : `${streams.length} streams`;
  byId("empty").hidden = streams.length > 0;
  byId("streams").replaceChildren(...streams.map(line));
}

function line({ name, tracks, subscribers }) {
  const about = document.createElement("div");
  const title = document.createElement("strong");
  title.textContent = name;
  const codecs = document.createElement("div");
  codecs.className = "soft";
  codecs.textContent = tracks.map(({ kind, codec }) => `${kind} ${codec}`).join(", ");
  about.append(title, codecs);
  const links = document.createElement("div");
  links.className = "links";
  const viewers = document.createElement("span");
  viewers.className = "soft";
  viewers.textContent = subscribers === 1 ? "1 viewer" : `${subscribers} viewers`;
  const watch = document.createElement("a");
  watch.className = "button";
  watch.href = `/watch/${name}${tokenFragment(token.value)}`;
  watch.textContent = "Watch";
  watch.setAttribute("aria-label", `Watch ${name}`);
  links.append(viewers, watch);
  const item = document.createElement("li");
  item.append(about, links);
  return item;
}

function showAddresses() {
  const name = byId("name").value || "…";
  for (const place of byId("addresses").querySelectorAll("[data-path]")) {
    const address = `${location.origin}${place.dataset.path}${name}${place.dataset.file ?? ""}`;
    // A line may end behind a slash.
    const parts = address.split(/(?<=[^/]\/)(?=[^/])/);
    place.replaceChildren(...parts.flatMap((part) => [part, document.createElement("wbr")]));
  }
}
