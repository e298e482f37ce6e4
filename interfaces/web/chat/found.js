/** Messages of all chats that have the words that somebody searches for. */

import { useEffect, useRef, useState } from "preact/hooks";
import { moment } from "../common/formats.js";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { chatAddress } from "./address.js";
import { InSight } from "./chat_list.js";
import { client } from "./client.js";
import { reasonOf } from "./toasts.js";

const PAGE = 20;
const PAUSE_MS = 180;
const NOTHING = { results: [], cursor: null, more: false };

export function Found({ query }) {
  const t = useTexts();
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState(null);
  const latest = useRef(query);
  const scroller = useRef(null);

  useEffect(() => {
    latest.current = query;
    const timer = setTimeout(() => ask(NOTHING), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [query]);

  async function ask(before) {
    try {
      const page = await client.search(query, { limit: PAGE, cursor: before.cursor ?? undefined });
      if (latest.current !== query) return; // somebody typed on
      const results = [...before.results, ...page.results];
      setFound({ results, cursor: page.next_cursor, more: page.has_more });
      setFailure(null);
    } catch (error) {
      if (error.code === undefined) throw error;
      setFailure(error);
    }
  }

  const count = found?.results.length ?? 0;
  return html`
    <div class="chat-list" ref=${scroller} aria-busy=${!found}>
      ${failure && html`<p class="empty" role="alert">${reasonOf(failure)}</p>`}
      ${found && !count && html`<p class="empty">${t("nothingFound")}</p>`}
      ${count > 0 && html`
        <ul class="found" aria-label=${t("searchResults")}>
          ${found.results.map(({ chat, message, snippet }) => html`
            <li key=${message.id}>
              <a href=${chatAddress(chat.id, message.id)}>
                <span class="found-title" dir="auto">${chat.title ?? t("untitled")}</span>
                <span class="found-snippet" dir="auto">${marked(snippet, query)}</span>
                <time datetime=${message.created_at}>${moment(message.created_at)}</time>
              </a>
            </li>
          `)}
        </ul>
      `}
      ${found?.more && html`<${InSight} root=${scroller} onSight=${() => ask(found)} key=${count} />`}
    </div>
  `;
}

/** The snippet with the query's words marked, where they stand there as they were typed. */
function marked(snippet, query) {
  const words = query.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pieces = snippet.split(new RegExp(`(${words.join("|")})`, "giu"));
  return pieces.map((piece, at) => (at % 2 ? html`<mark>${piece}</mark>` : piece));
}
