/** The prompt and the button that makes pictures. */

import { useLayoutEffect, useRef, useState } from 'react';
import { Icon } from '../shell/icons.tsx';
import { Segments } from '../settings/fields.tsx';
import type { Task } from '../settings/settings.ts';
import { studio, useStudio } from '../studio.ts';
import { AdaptersButton } from './adapters-button.tsx';
import { StylesButton } from './styles-dialog.tsx';
import { TokenCount } from './token-count.tsx';
import { typeInto, weighed } from './word-weights.ts';

const tasks = [
  ['txt2img', 'Words'],
  ['img2img', 'Picture'],
  ['inpaint', 'Inpaint'],
] as const satisfies readonly (readonly [Task, string])[];

/** Those of the model. */
const tasksOf = (own: readonly Task[] | undefined) => tasks.filter(([task]) => own?.includes(task) ?? true);

function weigh(event: React.KeyboardEvent<HTMLTextAreaElement>): void {
  const direction = event.key === 'ArrowUp' ? 1 : event.key === 'ArrowDown' ? -1 : undefined;
  if (
    !direction ||
    !(event.ctrlKey || event.metaKey) ||
    event.altKey ||
    event.shiftKey ||
    studio.promptSyntax() !== 'a1111'
  )
    return;
  const { value, selectionStart, selectionEnd } = event.currentTarget;
  const edited = weighed(value, selectionStart, selectionEnd, direction);
  event.preventDefault();
  if (edited) typeInto(event.currentTarget, edited);
}

/** A text field as high as its text, up to a few lines; Ctrl and the arrows weigh the words selected. */
function PromptField({
  label,
  value,
  onChange,
  placeholder,
  id,
}: {
  readonly id: string;
  readonly label: string;
  readonly value: string;
  readonly placeholder: string;
  readonly onChange: (value: string) => void;
}) {
  const field = useRef<HTMLTextAreaElement>(null);
  // The height follows the text.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the text is read through the element
  useLayoutEffect(() => {
    const { current } = field;
    if (!current) return;
    current.style.height = 'auto';
    current.style.height = `${Math.min(current.scrollHeight, 160)}px`;
  }, [value]);
  return (
    <textarea
      ref={field}
      id={id}
      rows={1}
      aria-label={label}
      placeholder={placeholder}
      value={value}
      onChange={(event) => onChange(event.target.value)}
      onKeyDown={weigh}
    />
  );
}

export function Composer({ onSettings }: { readonly onSettings: () => void }) {
  const { settings, task, run, engine, connecting } = useStudio();
  const [negative, setNegative] = useState(settings.negativePrompt !== '');
  const put = useRef('');
  const showNegative = negative || settings.negativePrompt !== '';
  return (
    <form
      className="composer"
      aria-label="What to make"
      onSubmit={(event) => {
        event.preventDefault();
        void studio.make();
      }}
    >
      <PromptField
        id="prompt"
        label="Prompt"
        value={settings.prompt}
        placeholder="What should the picture show?"
        onChange={(prompt) => studio.change({ prompt })}
      />
      {showNegative && (
        <div className="negative">
          <PromptField
            id="negative"
            label="Negative prompt"
            value={settings.negativePrompt}
            placeholder="What should it not show?"
            onChange={(negativePrompt) => studio.change({ negativePrompt })}
          />
        </div>
      )}
      <div className="composer-row">
        <Segments
          legend="Begin"
          name="task"
          value={task}
          options={tasksOf(studio.model?.tasks)}
          onChange={(value) => studio.chooseTask(value)}
        />
        <button
          type="button"
          className="quiet negative-button"
          aria-label={showNegative ? 'No negative prompt' : 'Negative prompt'}
          aria-expanded={showNegative}
          onClick={() => {
            setNegative(!showNegative);
            // Hiding the field keeps its text.
            if (showNegative) put.current = settings.negativePrompt;
            studio.change({ negativePrompt: showNegative ? '' : put.current });
          }}
        >
          <Icon name="negative" />
          {showNegative ? 'No negative' : 'Negative'}
        </button>
        <AdaptersButton />
        <StylesButton />
        <TokenCount prompt={settings.prompt} />
        <button type="button" className="quiet settings-button" aria-label="Settings" onClick={onSettings}>
          <Icon name="settings" />
        </button>
        {run ? (
          <>
            <button
              type="submit"
              className="quiet queue-button"
              aria-label="Add to the queue"
              title="Add to the queue (Ctrl ↵)"
            >
              <Icon name="plus" />
              <span>Queue</span>
            </button>
            <button type="button" className="primary stop" onClick={() => studio.stop()}>
              Stop <kbd>Esc</kbd>
            </button>
          </>
        ) : (
          <button type="submit" className="primary" disabled={!engine || connecting}>
            Make <kbd>Ctrl ↵</kbd>
          </button>
        )}
      </div>
    </form>
  );
}
