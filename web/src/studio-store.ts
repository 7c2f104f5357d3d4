/** The store behind the page: its state, and the listeners to its changes. */

import { rememberedChoice } from './engines/choose-engine.ts';
import { rememberedModel } from './engines/model-choice.ts';
import { rememberedSettings } from './settings/settings.ts';
import type { StudioState } from './studio-state.ts';

type Patch = { [K in keyof StudioState]?: StudioState[K] | undefined };

export class StudioStore {
  state: StudioState = {
    view: 'create',
    task: 'txt2img',
    settings: rememberedSettings(),
    choice: rememberedChoice(),
    connecting: true,
    model: rememberedModel(),
    controlPictures: {},
    made: [],
    queue: [],
    history: [],
    historyLoaded: false,
    compared: [undefined, undefined],
    axes: [
      { name: 'guidanceScale', text: '1, 3, 6, 9' },
      { name: 'seed', text: '1-2' },
    ],
  };
  readonly #listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  set(patch: Patch): void {
    const next = { ...this.state, ...patch } as Record<string, unknown>;
    for (const [name, value] of Object.entries(next)) if (value === undefined) delete next[name];
    this.state = next as unknown as StudioState;
    for (const listener of this.#listeners) listener();
  }

  /** Shows an error to the person. */
  fail(text: string): void {
    this.set({ notice: { kind: 'error', text } });
  }
}
