/** Where the conversation stands: at its end while that grows, and still while something is put before it. */

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { change, useStore } from "./store.js";

const NEAR_PX = 48;

/** @returns {{atEnd: boolean, toEnd: () => void}} */
export function useScrolling(scroller, chatId, messages) {
  const [atEnd, setAtEnd] = useState(true);
  const pinned = useRef(true);
  const before = useRef({ chatId, first: null });
  const wanted = useStore((state) => state.wanted);

  const toEnd = useCallback(() => {
    pinned.current = true;
    setAtEnd(true);
    scroller.current.scrollTop = scroller.current.scrollHeight;
  }, []);

  useEffect(() => {
    const element = scroller.current;
    let last = element.scrollTop;
    const scrolled = () => {
      const near = element.scrollHeight - element.clientHeight - element.scrollTop < NEAR_PX;
      // Only people scroll up; what grows pushes the end away.
      if (near) pinned.current = true;
      else if (element.scrollTop < last) pinned.current = false;
      last = element.scrollTop;
      setAtEnd(pinned.current);
    };
    const grown = new ResizeObserver(() => {
      if (pinned.current) element.scrollTop = element.scrollHeight;
    });
    element.addEventListener("scroll", scrolled, { passive: true });
    grown.observe(element);
    grown.observe(element.querySelector(".messages"));
    return () => {
      element.removeEventListener("scroll", scrolled);
      grown.disconnect();
    };
  }, []);

  useLayoutEffect(() => {
    const { chatId: chatBefore, first, top } = before.current;
    if (chatId !== chatBefore && chatBefore !== null) toEnd();
    else if (first?.isConnected && !pinned.current) holdStill(scroller.current, first, top);
    const element = scroller.current.querySelector("article");
    before.current = { chatId, first: element, top: element?.getBoundingClientRect().top };
  });

  useLayoutEffect(() => {
    if (wanted?.end) toEnd();
    else if (wanted) show(scroller.current, wanted.id, pinned);
  }, [wanted, messages]);

  return { atEnd, toEnd };
}

/** What was first before keeps its place in the window when others are put before it. */
function holdStill(scroller, first, top) {
  const correct = () => {
    const moved = first.getBoundingClientRect().top - top;
    if (Math.abs(moved) > 1) scroller.scrollTop += moved;
  };
  if (first.previousElementSibling) {
    correct();
    requestAnimationFrame(correct); // what came into sight has its true height by now
  }
}

function show(scroller, id, pinned) {
  const article = scroller.querySelector(`[data-id="${CSS.escape(id)}"]`);
  if (!article) return; // it comes with a later rendering
  pinned.current = false;
  article.scrollIntoView({ block: "center" });
  article.classList.add("wanted");
  article.focus({ preventScroll: true });
  article.addEventListener("animationend", () => article.classList.remove("wanted"), { once: true });
  change({ wanted: null });
}
