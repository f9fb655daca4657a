"use strict";

// The token of a caller, where the gateway asks for one. It is in this variable alone, and gone with the page.
let token = "";

async function load(url) {
  const response = await fetch(url, {
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    cache: "no-store",
  });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { page, response };
}

function show(page, url) {
  document.title = page.title;
  document.querySelector("header").replaceWith(page.querySelector("header"));
  document.querySelector("main").replaceWith(page.querySelector("main"));
  if (url !== location.href) {
    history.pushState(null, "", url);
  }
  enable();
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  (target || document.querySelector("main")).focus();
}

async function go(url) {
  const { page, response } = await load(url);
  show(page, response.url + new URL(url, location.href).hash);
}

async function giveToken(form) {
  const button = form.querySelector("button");
  const error = document.getElementById("token-error");
  token = form.querySelector("input").value.trim();
  button.disabled = true;
  error.hidden = true;
  const { page, response } = await load(location.href);
  if (response.status === 401) {
    token = "";
    error.replaceChildren(...page.getElementById("token-error").childNodes);
    error.hidden = false;
    button.disabled = false;
  } else {
    show(page, location.href);
  }
}

function enable() {
  const form = document.getElementById("token-form");
  if (form) {
    form.querySelector("button").disabled = false;
  }
  follow();
  if (navigator.clipboard) {
    for (const button of document.querySelectorAll("button[data-copy], button[data-copy-address]")) {
      button.hidden = false;
    }
  }
}

async function copy(button) {
  const { copy: id } = button.dataset;
  await navigator.clipboard.writeText(id ? document.getElementById(id).textContent : location.href);
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => {
    button.textContent = label;
  }, 2000);
}

// What is live is fetched again, unless its reader has paused it or looks elsewhere.
let paused = false;
let timer = 0;

function follow() {
  clearTimeout(timer);
  const live = document.getElementById("live");
  const button = document.querySelector("button[data-pause]");
  if (!live || !button) {
    return;
  }
  button.hidden = false;
  button.textContent = paused ? "Continue" : "Pause";
  button.setAttribute("aria-pressed", String(paused));
  timer = setTimeout(refresh, 1000 * Number(live.dataset.refreshS));
}

async function refresh() {
  const live = document.getElementById("live");
  const state = document.getElementById("live-state");
  if (live && !paused && !document.hidden) {
    try {
      const { page, response } = await load(location.href);
      const fresh = page.getElementById("live");
      if (fresh && document.contains(live)) {
        renew(live, fresh);
      }
      say(state, fresh ? "" : `Not refreshed: the gateway answers ${response.status}.`);
    } catch {
      say(state, "Not refreshed: the gateway does not answer.");
    }
  }
  follow();
}

// Replaces what has changed alone, so that a focus and a place to which something was scrolled stay.
function renew(old, fresh) {
  if (old.isEqualNode(fresh)) {
    return;
  }
  const alike = old.nodeName === fresh.nodeName && old.children.length === fresh.children.length;
  if (!alike || old.children.length === 0) {
    old.replaceWith(fresh);
    return;
  }
  if (old.outerHTML.replace(old.innerHTML, "") !== fresh.outerHTML.replace(fresh.innerHTML, "")) {
    for (const { name, value } of fresh.attributes) {
      old.setAttribute(name, value);
    }
  }
  const texts = (node) => [...node.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE).map((one) => one.data);
  if (texts(old).join("") !== texts(fresh).join("")) {
    old.replaceWith(fresh);
    return;
  }
  const children = [...fresh.children];
  [...old.children].forEach((child, at) => renew(child, children[at]));
}

function say(place, text) {
  if (place && place.textContent !== text) {
    place.textContent = text;
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id === "token-form") {
    event.preventDefault();
    giveToken(form);
  } else if (token) {
    event.preventDefault();
    const url = new URL(form.action);
    url.search = new URLSearchParams(new FormData(form)).toString();
    go(url.href);
  }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-copy], button[data-copy-address]");
  if (button) {
    copy(button);
    return;
  }
  if (event.target.closest("button[data-pause]")) {
    paused = !paused;
    follow();
    return;
  }
  const link = event.target.closest("a[href]");
  // Without a token the browser goes there itself.
  const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
  if (!token || !link || elsewhere || link.origin !== location.origin || link.getAttribute("href").startsWith("#")) {
    return;
  }
  event.preventDefault();
  go(link.href);
});

window.addEventListener("popstate", () => {
  if (token) {
    load(location.href).then(({ page }) => show(page, location.href));
  }
});

enable();
