// What pages do beyond links and forms: search while one types, and parts that follow what happens.
"use strict";

const part = () => document.getElementById("part");
const told = (text) => { document.getElementById("told").textContent = text; };

// Replaces the changing part of the page; what is open, scrolled or has the focus stays so.
async function refresh(address, saying) {
  const asked = new URL(address, location.href);
  asked.searchParams.set("part", "1");
  const answer = await fetch(asked, { credentials: "same-origin" });
  if (!answer.ok || answer.redirected) return false;
  const text = await answer.text();
  const target = part();
  if (!target) return false;
  const open = [...target.querySelectorAll("details[open]")].map((one) => one.id);
  const focused = document.activeElement && target.contains(document.activeElement)
    ? document.activeElement.id || document.activeElement.getAttribute("href") : null;
  const ends = [...target.querySelectorAll("pre.log")].map((one) =>
    one.scrollTop + one.clientHeight >= one.scrollHeight - 4 ? -1 : one.scrollTop);
  target.innerHTML = text;
  for (const one of target.querySelectorAll("details")) if (open.includes(one.id)) one.open = true;
  target.querySelectorAll("pre.log").forEach((one, place) => {
    one.scrollTop = ends[place] === undefined || ends[place] < 0 ? one.scrollHeight : ends[place];
  });
  if (focused) {
    const again = [...target.querySelectorAll("[id],[href]")].find((one) =>
      one.id === focused || one.getAttribute("href") === focused);
    if (again) again.focus({ preventScroll: true });
  }
  if (saying) told(saying);
  return true;
}

function searchAsYouType(form) {
  let waiting = 0, last = 0;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const number = ++last;
      const address = new URL(form.action);
      for (const [name, value] of new FormData(form)) if (value) address.searchParams.append(name, value);
      if (number === last && await refresh(address, "the list follows what you type") && number === last) {
        history.replaceState(null, "", address);
      }
    }, 180);
  });
}

function follow(topic) {
  const events = new EventSource(`/live?of=${encodeURIComponent(topic)}`);
  let is_busy = false, is_due = false, first = true;
  events.addEventListener("change", async () => {
    // The page was just made: its first mark says nothing new.
    if (first) { first = false; return; }
    if (is_busy) { is_due = true; return; }
    is_busy = true;
    do {
      is_due = false;
      try { await refresh(location.href, ""); } catch { /* The server is away; its stream returns. */ }
    } while (is_due);
    is_busy = false;
  });
  // After an interruption everything may have changed.
  events.addEventListener("error", () => { first = false; });
  addEventListener("pagehide", () => events.close());
}

document.querySelectorAll("form[data-as-you-type]").forEach(searchAsYouType);
const live = document.querySelector("main").dataset.live;
if (live) follow(live);

addEventListener("keydown", (event) => {
  const is_typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
  const target = document.querySelector("[data-hotkey='/']");
  if (event.key === "/" && !is_typing && target && !event.ctrlKey && !event.metaKey) {
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
