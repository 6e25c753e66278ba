// What pages do beyond links and forms: search while one types, and parts that follow what happens.
"use strict";

const told = (text) => { document.getElementById("told").textContent = text; };
const keyOf = (node) => node.nodeType === 1 ? node.id || node.getAttribute("href") || node.getAttribute("action") || "" : "";

// Makes one element like another, and leaves what is equal as it is: focus, selection, scrolling and
// what is open stay.
function morph(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    let found = place;
    const key = keyOf(wanted);
    if (key) {
      while (found && keyOf(found) !== key) found = found.nextSibling;
    }
    if (!found || found.nodeName !== wanted.nodeName || (!key && keyOf(found))) {
      old.insertBefore(wanted, place);
      continue;
    }
    while (place !== found) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
    place = found.nextSibling;
    if (found.nodeType !== 1) {
      if (found.data !== wanted.data) found.data = wanted.data;
    } else if (!found.isEqualNode(wanted)) {
      const isAtEnd = found.scrollTop + found.clientHeight >= found.scrollHeight - 4;
      morph(found, wanted);
      if (found.matches("pre.log") && isAtEnd) found.scrollTop = found.scrollHeight;
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

let asking = null;

// Brings the changing part of the page up to date; of several that ask, the last one wins.
async function refresh(address) {
  asking?.abort();
  const mine = asking = new AbortController();
  const asked = new URL(address, location.href);
  asked.searchParams.set("part", "1");
  const answer = await fetch(asked, { credentials: "same-origin", signal: mine.signal });
  const text = await answer.text();
  if (!answer.ok || answer.redirected || mine.signal.aborted) return false;
  const fresh = new DOMParser().parseFromString(`<div id="part">${text}</div>`, "text/html");
  morph(document.getElementById("part"), fresh.getElementById("part"));
  return true;
}

function searchAsYouType(form) {
  let waiting = 0;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const address = new URL(form.action);
      for (const [name, value] of new FormData(form)) {
        if (value) address.searchParams.append(name, value);
      }
      try {
        if (!await refresh(address)) return;
        history.replaceState(null, "", address);
        told(document.querySelector("#part section .hint")?.textContent || "");
      } catch (error) {
        if (error.name !== "AbortError") throw error;
      }
    }, 180);
  });
}

function follow(topic) {
  let isBusy = false, isDue = false, isFirst = true;
  const changed = async () => {
    // The page was just made: its first mark says nothing new.
    if (isFirst) { isFirst = false; return; }
    if (isBusy) { isDue = true; return; }
    isBusy = true;
    do {
      isDue = false;
      try { await refresh(location.href); } catch { /* The server is away; its stream returns. */ }
    } while (isDue);
    isBusy = false;
  };
  const open = () => {
    const events = new EventSource(`/live?of=${encodeURIComponent(topic)}`);
    const close = () => events.close();
    events.addEventListener("change", changed);
    events.addEventListener("error", () => {
      // After an interruption everything may have changed.
      isFirst = false;
      if (events.readyState !== EventSource.CLOSED) return;
      // It was answered with an error, as by a server that just began; browsers give up then.
      removeEventListener("pagehide", close);
      setTimeout(open, 3000);
    });
    addEventListener("pagehide", close);
  };
  open();
}

document.querySelectorAll("form[data-as-you-type]").forEach(searchAsYouType);
const live = document.querySelector("main").dataset.live;
if (live) follow(live);

addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
  const target = document.querySelector("[data-hotkey='/']");
  if (event.key === "/" && !isTyping && target && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    target.focus();
    target.select();
  }
});

document.querySelectorAll("[data-copy]").forEach((one) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(one.firstChild.textContent);
    told("copied");
    button.textContent = "Copied";
  });
  one.after(button);
});
