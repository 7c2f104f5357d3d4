/** The dialog that chooses where pictures are made, a server or this browser, and manages the browser's checkpoints. */

import { useEffect, useState } from 'react';
import { BrowserEngine, type Provider } from '../engines/browser-engine.ts';
import type { EngineChoice, Place } from '../engines/choose-engine.ts';
import { removeModel, type StoredModel, storedModels } from '../engines/model-store.ts';
import { Segments } from '../settings/fields.tsx';
import { studio, useStudio } from '../studio.ts';
import { Icon } from './icons.tsx';
import { Modal } from './modal.tsx';

const providers: readonly (readonly [Provider | 'auto', string])[] = [
  ['auto', 'Best there is'],
  ['webgpu', 'WebGPU'],
  ['wasm', 'WASM'],
];

const megabytes = (bytes: number): string =>
  bytes > 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.ceil(bytes / 1e6)} MB`;

function KeptModels() {
  const [models, setModels] = useState<readonly StoredModel[]>([]);
  const read = (): void => void storedModels().then(setModels);
  useEffect(read, []);
  if (models.length === 0)
    return (
      <p className="hint">
        The small model is downloaded once, when it is first used. Drop a checkpoint on the page to use your own: it is
        read from your disk.
      </p>
    );
  return (
    <ul className="kept-models" aria-label="Kept in this browser">
      {models
        .filter(({ name }) => !name.endsWith('.yaml'))
        .map(({ name, bytes }) => (
          <li key={name}>
            <span>{name}</span>
            <span className="muted">{megabytes(bytes)}</span>
            <button
              type="button"
              className="quiet icon-only"
              aria-label={`Remove ${name}`}
              onClick={() =>
                void Promise.all([
                  removeModel(name),
                  removeModel(`${name}.yaml`),
                  removeModel(name.replace(/\.safetensors$/, '.yaml')),
                ]).then(read)
              }
            >
              <Icon name="trash" />
            </button>
          </li>
        ))}
    </ul>
  );
}

function ServerFields({
  choice,
  onChange,
}: {
  readonly choice: EngineChoice;
  readonly onChange: (choice: EngineChoice) => void;
}) {
  return (
    <>
      <label className="stacked">
        <span>Address</span>
        <input
          type="text"
          inputMode="url"
          autoComplete="url"
          spellCheck={false}
          placeholder="This page's own server"
          value={choice.server}
          onChange={(event) => onChange({ ...choice, server: event.target.value })}
        />
      </label>
      <label className="stacked">
        <span>API key</span>
        <input
          type="password"
          autoComplete="off"
          placeholder="None"
          value={choice.apiKey}
          onChange={(event) => onChange({ ...choice, apiKey: event.target.value })}
        />
      </label>
      <p className="hint">A server of this program, or any that speaks A1111's API and allows this page (CORS).</p>
    </>
  );
}

function BrowserFields({
  choice,
  onChange,
}: {
  readonly choice: EngineChoice;
  readonly onChange: (choice: EngineChoice) => void;
}) {
  return (
    <>
      <p className="hint">
        Nothing leaves your machine, and it works without a network.{' '}
        {crossOriginIsolated
          ? `Up to ${navigator.hardwareConcurrency} threads.`
          : 'One thread: this page is not isolated by its host.'}
      </p>
      <Segments
        legend="Computes on"
        name="provider"
        value={choice.provider}
        options={providers}
        onChange={(provider) => onChange({ ...choice, provider })}
      />
      <KeptModels />
    </>
  );
}

function EngineForm() {
  const { choice, engine, connecting } = useStudio();
  const [draft, setDraft] = useState<EngineChoice>({
    ...choice,
    place: choice.place ?? (engine instanceof BrowserEngine ? 'browser' : 'server'),
  });
  const place = draft.place ?? 'server';
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        studio.set({ dialog: undefined });
        void studio.connect(draft);
      }}
    >
      <div className="stack">
        <Segments<Place>
          legend="Where pictures are made"
          name="place"
          value={place}
          options={[
            ['server', 'On a server'],
            ['browser', 'In this browser'],
          ]}
          onChange={(value) => setDraft({ ...draft, place: value })}
        />
        {place === 'server' ? (
          <ServerFields choice={draft} onChange={setDraft} />
        ) : (
          <BrowserFields choice={draft} onChange={setDraft} />
        )}
      </div>
      <div className="dialog-actions">
        <p className="muted">{connecting ? 'Connecting …' : `Now: ${engine?.title ?? 'not connected'}`}</p>
        <button type="submit" className="primary">
          {place === 'server' ? 'Connect' : 'Use this browser'}
        </button>
      </div>
    </form>
  );
}

export function EngineDialog() {
  const { dialog } = useStudio();
  return (
    <Modal open={dialog === 'engine'} title="Where pictures are made" onClose={() => studio.set({ dialog: undefined })}>
      <EngineForm />
    </Modal>
  );
}
