// Keeps a page of the dashboard going: swaps in the fragments that have changed, and sends what buttons ask for.
"use strict";
(() => {
  const main = document.getElementById("page");
  const connection = document.getElementById("connection");
  const answer = document.getElementById("answer");
  const SILENCE = 25000; // milliseconds: the server says something every 10 seconds
  const AGAIN = 1000;
  let seen = main.dataset.seen;
  let source = null;
  let heard = Date.now();

  // Swapping: what is alike stays as it is, and with it focus, scroll, selection and what was opened.

  const keyOf = (node) => (node.nodeType === 1 ? node.getAttribute("data-key") || node.id : "");

  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
    } else if (old.nodeType !== 1) {
      old.nodeValue = fresh.nodeValue;
    } else {
      morphAttributes(old, fresh);
      if (old !== document.activeElement || old.nodeName !== "SELECT") morphChildren(old, fresh);
    }
  }

  function morphAttributes(old, fresh) {
    const isTheirs = (name) => name === "open" && old.nodeName === "DETAILS"; // the reader's, not ours
    for (const { name, value } of [...fresh.attributes])
      if (old.getAttribute(name) !== value && !isTheirs(name)) old.setAttribute(name, value);
    for (const { name } of [...old.attributes])
      if (!fresh.hasAttribute(name) && !isTheirs(name)) old.removeAttribute(name);
  }

  function morphChildren(old, fresh) {
    const known = new Map();
    for (const child of old.childNodes) if (keyOf(child)) known.set(keyOf(child), child);
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const key = keyOf(child);
      const match = key ? known.get(key) : at && !keyOf(at) && at.nodeName === child.nodeName ? at : null;
      if (!match) {
        old.insertBefore(child, at);
        continue;
      }
      if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      morph(match, child);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  function swap(fragments) {
    const focused = document.activeElement;
    for (const [id, html] of Object.entries(fragments)) {
      const old = document.getElementById(id);
      if (!old) continue;
      const tails = [...old.querySelectorAll("[data-tail]")].filter(
        (each) => each.scrollTop + each.clientHeight >= each.scrollHeight - 8,
      );
      const holder = document.createElement("template");
      holder.innerHTML = html;
      morph(old, holder.content.firstElementChild);
      for (const each of tails) each.scrollTop = each.scrollHeight;
    }
    if (focused && focused !== document.activeElement && focused.isConnected) focused.focus();
    main.dataset.swaps = Number(main.dataset.swaps || 0) + 1;
  }

  // The stream.

  function say(state, words) {
    heard = Date.now();
    if (connection.dataset.state === state) return;
    connection.dataset.state = state;
    connection.textContent = words;
    main.toggleAttribute("data-lost", state === "lost");
  }

  const lost = () => say("lost", "not connected: what is shown is old; trying again");

  function connect() {
    if (source) source.close();
    const query = new URLSearchParams(location.search);
    query.set("seen", seen);
    if (document.hidden) query.set("hidden", "1");
    const opened = (source = new EventSource(`/stream${location.pathname}?${query}`));
    const live = () => say("live", "live");
    opened.addEventListener("open", live);
    opened.addEventListener("alive", live);
    opened.addEventListener("fragments", (event) => {
      if (opened !== source) return;
      seen = event.lastEventId || seen;
      swap(JSON.parse(event.data));
      live();
    });
    opened.addEventListener("error", () => {
      if (opened !== source) return;
      lost();
      if (opened.readyState === EventSource.CLOSED) setTimeout(() => opened === source && connect(), AGAIN);
    });
  }

  setInterval(() => {
    if (Date.now() - heard < SILENCE) return;
    lost();
    connect();
  }, 5000);
  document.addEventListener("visibilitychange", connect);
  addEventListener("pageshow", (event) => event.persisted && connect());
  addEventListener("pagehide", () => source && source.close());

  // Actions.

  function tell(words, isBad) {
    answer.textContent = words;
    answer.className = isBad ? "c-bad" : "";
    clearTimeout(tell.timer);
    tell.timer = setTimeout(() => (answer.textContent = ""), isBad ? 15000 : 5000);
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-post]");
    if (!button || (button.dataset.confirm && !confirm(button.dataset.confirm))) return;
    try {
      const reply = await fetch(button.dataset.post, { method: "POST", body: button.dataset.body });
      const isJson = (reply.headers.get("content-type") || "").includes("json");
      const told = isJson ? await reply.json() : { error: `refused (${reply.status})` };
      tell(told.error || told.said, !reply.ok);
    } catch {
      tell("the dashboard does not answer", true);
    }
  });

  for (const each of document.querySelectorAll("[data-tail]")) each.scrollTop = each.scrollHeight;
  connect();
})();
