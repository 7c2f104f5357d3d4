/** The LoRAs and textual inversions to choose from, with previews and trigger words; choosing writes them into the prompt. */

import { useEffect, useState } from 'react';
import { BrowserEngine } from '../engines/browser-engine.ts';
import type { AdapterChoice } from '../engines/picture-engine.ts';
import { NumberInput } from '../settings/fields.tsx';
import { Icon } from '../shell/icons.tsx';
import { LazyImage } from '../shell/lazy-image.tsx';
import { Modal } from '../shell/modal.tsx';
import { studio, useStudio } from '../studio.ts';
import { hasAdapter, hasWords, toggled, toggledWords, weightOf, withWeight } from './adapter-prompt.ts';

const change = (prompt: string): void => studio.change({ prompt });

function Adapter({ adapter }: { readonly adapter: AdapterChoice }) {
  const {
    settings: { prompt },
  } = useStudio();
  const { kind, name, triggerWords, preview } = adapter;
  const used = hasAdapter(prompt, adapter);
  return (
    <li className="adapter" data-used={used}>
      <div className="adapter-preview">
        {preview ? <LazyImage load={preview} /> : <Icon name={kind === 'lora' ? 'layers' : 'picture'} />}
      </div>
      <div className="adapter-text">
        <strong>{name}</strong>
        {triggerWords.length > 0 && (
          <ul aria-label={`Trigger words of ${name}`}>
            {triggerWords.map((words) => (
              <li key={words}>
                <button
                  type="button"
                  className="small"
                  aria-pressed={hasWords(prompt, words)}
                  onClick={() => change(toggledWords(prompt, words))}
                >
                  {words}
                </button>
              </li>
            ))}
          </ul>
        )}
      </div>
      {used && kind === 'lora' && (
        <NumberInput
          label={`Weight of ${name}`}
          value={weightOf(prompt, name)}
          min={-10}
          max={10}
          step={0.05}
          onChange={(weight) => change(withWeight(prompt, name, weight))}
        />
      )}
      <button
        type="button"
        aria-label={used ? `Remove ${name}` : `Add ${name}`}
        onClick={() => change(toggled(prompt, adapter))}
      >
        {used ? 'Remove' : 'Add'}
      </button>
    </li>
  );
}

const titles = { lora: 'LoRAs', embedding: 'Embeddings' } as const;

function Found({ found, search }: { readonly found: readonly AdapterChoice[]; readonly search: string }) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = found.filter(({ name, triggerWords }) => {
    const text = [name, ...triggerWords].join(' ').toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return (['lora', 'embedding'] as const).map((kind) => {
    const rows = shown.filter((adapter) => adapter.kind === kind);
    return (
      rows.length > 0 && (
        <section key={kind} aria-label={titles[kind]}>
          <h3>{titles[kind]}</h3>
          <ul className="adapters">
            {rows.map((adapter) => (
              <Adapter key={adapter.name} adapter={adapter} />
            ))}
          </ul>
        </section>
      )
    );
  });
}

function AdapterList() {
  const { engine } = useStudio();
  const [found, setFound] = useState<readonly AdapterChoice[]>();
  const [problem, setProblem] = useState<string>();
  const [search, setSearch] = useState('');
  useEffect(() => {
    let current = true;
    engine?.adapters?.().then(
      (list) => current && setFound(list),
      (error: Error) => current && setProblem(error.message),
    );
    return () => {
      current = false;
    };
  }, [engine]);
  if (problem !== undefined) return <p role="alert">{problem}</p>;
  if (!found) return <p className="muted">Asking for them …</p>;
  if (found.length === 0)
    return (
      <p className="hint">
        {engine instanceof BrowserEngine
          ? 'Drop a LoRA or an embedding on this page to use it.'
          : 'The server has none. Start it with folders of them: sd serve --loras DIR --embeddings DIR.'}
      </p>
    );
  return (
    <div className="stack">
      <label className="search">
        <Icon name="search" />
        <input
          type="search"
          aria-label="Search them"
          placeholder="Search by name or trigger word"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      </label>
      <Found found={found} search={search} />
    </div>
  );
}

export function AdaptersDialog() {
  const { dialog } = useStudio();
  return (
    <Modal
      open={dialog === 'adapters'}
      title="LoRAs and embeddings"
      className="adapters-dialog"
      onClose={() => studio.set({ dialog: undefined })}
    >
      <AdapterList />
    </Modal>
  );
}
