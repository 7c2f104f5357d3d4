/** The styles of the server; choosing one writes its texts into the prompts. */

import { useEffect, useState } from 'react';
import type { StyleChoice } from '../engines/picture-engine.ts';
import { Icon } from '../shell/icons.tsx';
import { Modal } from '../shell/modal.tsx';
import { studio, useStudio } from '../studio.ts';
import { withStyle } from './styled-prompt.ts';

interface Texts {
  readonly prompt: string;
  readonly negativePrompt: string;
}

function StyleList() {
  const { engine, settings } = useStudio();
  const [styles, setStyles] = useState<readonly StyleChoice[]>();
  const [problem, setProblem] = useState<string>();
  /** What the prompts were before the last style, and after it. */
  const [last, setLast] = useState<{ readonly before: Texts; readonly after: Texts }>();
  useEffect(() => {
    let current = true;
    engine?.styles?.().then(
      (list) => current && setStyles(list),
      (error: Error) => current && setProblem(error.message),
    );
    return () => {
      current = false;
    };
  }, [engine]);
  if (problem !== undefined) return <p role="alert">{problem}</p>;
  if (!styles) return <p className="muted">Asking for them …</p>;
  if (styles.length === 0)
    return (
      <p className="hint">The server has none. Start it with A1111's file of them: sd serve --styles styles.csv.</p>
    );
  const { prompt, negativePrompt } = settings;
  const add = (style: StyleChoice): void => {
    const after = {
      prompt: withStyle(prompt, style.prompt),
      negativePrompt: withStyle(negativePrompt, style.negativePrompt),
    };
    setLast({ before: { prompt, negativePrompt }, after });
    studio.change(after);
  };
  const canUndo = last?.after.prompt === prompt && last.after.negativePrompt === negativePrompt;
  return (
    <div className="stack">
      <ul className="adapters" aria-label="Styles">
        {styles.map((style) => (
          <li key={style.name} className="adapter style-row">
            <div className="adapter-text">
              <strong>{style.name}</strong>
              <span className="muted">{style.prompt || `not: ${style.negativePrompt}`}</span>
            </div>
            <button type="button" aria-label={`Add ${style.name}`} onClick={() => add(style)}>
              Add
            </button>
          </li>
        ))}
      </ul>
      <p aria-live="polite">
        <strong>Prompt:</strong> {prompt || 'empty'}
      </p>
      {canUndo && (
        <button type="button" className="quiet" onClick={() => last && studio.change(last.before)}>
          Take the last one back
        </button>
      )}
    </div>
  );
}

export function StylesDialog() {
  const { dialog } = useStudio();
  return (
    <Modal
      open={dialog === 'styles'}
      title="Styles"
      className="adapters-dialog"
      onClose={() => studio.set({ dialog: undefined })}
    >
      <StyleList />
    </Modal>
  );
}

/** Opens the list; absent where the engine has no styles. */
export function StylesButton() {
  const { engine } = useStudio();
  if (!engine?.styles) return null;
  return (
    <button
      type="button"
      className="quiet adapters-button"
      aria-haspopup="dialog"
      aria-label="Styles"
      title="Styles"
      onClick={() => studio.set({ dialog: 'styles' })}
    >
      <Icon name="style" />
      <span>Styles</span>
    </button>
  );
}
