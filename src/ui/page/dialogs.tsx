/** Windows over the page. The browser's own element keeps the focus within, and Escape closes it. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export interface Question {
  readonly title: string;
  readonly text: string;
  /** On the button that does it. */
  readonly action: string;
  readonly run: () => Promise<unknown>;
}

export const question = signal<Question | undefined>(undefined);
export const isHelpOpen = signal(false);
/** What was done, or why not. */
export const notice = signal<{ readonly text: string; readonly isError: boolean } | undefined>(undefined);

const NOTICE_MS = 6000;
let noticeTimer = 0;

export function tell(text: string, isError = false): void {
  notice.value = { text, isError };
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => {
    notice.value = undefined;
  }, NOTICE_MS);
}

/** Does it, and tells how it went. */
export async function attempt(run: () => Promise<unknown>, done: string): Promise<void> {
  try {
    await run();
    tell(done);
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error), true);
  }
}

export function Dialog(props: {
  readonly title: string;
  readonly class?: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current;
    if (dialog !== null && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: reason: the click is on the backdrop, for which the keyboard has Escape
    <dialog
      ref={element}
      class={`dialog ${props.class ?? ""}`}
      aria-label={props.title}
      onClose={props.onClose}
      onClick={(event) => event.target === element.current && props.onClose()}
    >
      <div class="dialog-body">
        <h2>{props.title}</h2>
        {props.children}
      </div>
    </dialog>
  );
}

export function QuestionDialog() {
  const asked = question.value;
  if (asked === undefined) return null;
  const close = () => {
    question.value = undefined;
  };
  return (
    <Dialog title={asked.title} onClose={close}>
      <p>{asked.text}</p>
      <div class="dialog-actions">
        {/* The harmless answer is the one that Enter gives. */}
        <button type="button" class="button" autofocus onClick={close}>
          Cancel
        </button>
        <button
          type="button"
          class="button danger"
          onClick={() => {
            close();
            void attempt(asked.run, `${asked.title}: done`);
          }}
        >
          {asked.action}
        </button>
      </div>
    </Dialog>
  );
}

const SHORTCUTS: readonly (readonly [string, string])[] = [
  ["1 – 7", "go to a view"],
  ["/", "search, or filter"],
  ["↑ ↓", "move in a list"],
  ["Enter", "open what is chosen"],
  ["Esc", "close, or leave the search"],
  ["T", "light, dark, as the system"],
  ["?", "this list"],
];

export function HelpDialog() {
  if (!isHelpOpen.value) return null;
  return (
    <Dialog
      title="Keyboard"
      onClose={() => {
        isHelpOpen.value = false;
      }}
    >
      <dl class="shortcuts">
        {SHORTCUTS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p class="muted small">
        <a href="licenses.txt" target="_blank" rel="noreferrer">
          Licences of the libraries in this page
        </a>
      </p>
    </Dialog>
  );
}

export function Notice() {
  const shown = notice.value;
  return (
    <div class="notices" role="status" aria-live="polite">
      {shown !== undefined && <div class={`notice ${shown.isError ? "error" : ""}`}>{shown.text}</div>}
    </div>
  );
}
