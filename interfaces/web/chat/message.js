/** One message, of a person or a model. It is rendered again only when it is another one. */

import { onlyWhenChanged } from "../common/only_when_changed.js";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Answer } from "./answer.js";
import { Question } from "./question.js";

export const Message = onlyWhenChanged(({ message, isLast, isEdited }) => {
  const t = useTexts();
  const isQuestion = message.role === "user";
  return html`
    <article class=${isQuestion ? "question" : "answer"} data-id=${message.id} data-status=${message.status}
      data-last=${isLast} tabindex="-1" aria-label=${t(isQuestion ? "you" : "assistant")}>
      ${isQuestion
        ? html`<${Question} message=${message} isEdited=${isEdited} />`
        : html`<${Answer} message=${message} />`}
    </article>
  `;
});
