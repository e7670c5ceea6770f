/* The shop's own script: carts without a page load, shelves that follow, the privacy switch. Everything works without it. */
(() => {
  "use strict";
  const why = new URLSearchParams(location.search).get("why") === "1";
  const toast = document.querySelector("[data-toast]");
  let hide = 0;

  const say = (text) => {
    toast.textContent = text;
    toast.classList.add("on");
    clearTimeout(hide);
    hide = setTimeout(() => toast.classList.remove("on"), 3200);
  };

  const showCount = (count) => {
    const badge = document.querySelector("[data-cart-count]");
    badge.textContent = count;
    badge.setAttribute("aria-label", `${count} in the cart`);
  };

  /** Put the shelves of this page up again, as the engine would now; what is not on the page is not asked for. */
  const refresh = async () => {
    const shelves = [...document.querySelectorAll("[data-slot]")].filter((one) => one.dataset.slot !== "home-trending");
    if (!shelves.length && !why) return;
    const query = new URLSearchParams({ slots: shelves.map((one) => one.dataset.slot).join(",") });
    if (document.body.dataset.item) query.set("item", document.body.dataset.item);
    if (why) query.set("why", "1");
    const answer = await fetch(`/shelves?${query}`);
    if (!answer.ok) return;
    const { slots, panel } = await answer.json();
    for (const shelf of shelves) {
      const html = slots[shelf.dataset.slot];
      if (!html) continue;
      shelf.outerHTML = html;
    }
    const aside = document.querySelector(".why");
    if (aside && panel) {
      const top = aside.scrollTop;
      aside.outerHTML = panel;
      document.querySelector(".why").scrollTop = top;
    }
    window.bespeak.observe();
  };

  document.addEventListener("submit", async (submit) => {
    const form = submit.target.closest("[data-add]");
    if (!form) return;
    submit.preventDefault();
    const product = JSON.parse(form.dataset.add);
    const quantity = Number(new FormData(form).get("quantity")) || 1;
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    if (!answer.ok) { say("That did not work. Please try again."); return; }
    showCount((await answer.json()).count);
    say(`${product.name} is in your cart.`);
    await window.bespeak.track("Product Added", { ...product, quantity });
    await refresh();
  });

  document.addEventListener("click", async (click) => {
    const remove = click.target.closest("[data-remove]");
    if (remove) window.bespeak.track("Product Removed", JSON.parse(remove.dataset.remove));
    const choice = click.target.closest("[data-consent]");
    if (!choice) return;
    choice.disabled = true;
    await window.bespeak.consent({ analytics: true, personalization: choice.dataset.consent === "grant" });
    location.reload();
  });

  if (why) addEventListener("load", () => setTimeout(() => window.bespeak.flush().then(refreshPanel), 50));

  /** The panel was drawn before this page view had arrived: draw it again with what is known now. */
  const refreshPanel = async () => {
    const query = new URLSearchParams({ slots: "", why: "1" });
    const answer = await fetch(`/shelves?${query}`);
    const aside = document.querySelector(".why");
    if (!answer.ok || !aside) return;
    const { profile } = await answer.json();
    const live = aside.querySelector("[data-why-live]");
    if (live && profile) live.outerHTML = profile;
  };
})();
