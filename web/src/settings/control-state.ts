/** What can be done with the form's control units and their pictures. */

import type { StudioStore } from '../studio-store.ts';
import type { ControlUnit } from './control-units.ts';
import type { Settings } from './settings.ts';

type Studio = StudioStore & { change(patch: Partial<Settings>): void };

export class ControlUnits {
  readonly #studio: Studio;

  constructor(studio: Studio) {
    this.#studio = studio;
  }

  get #all(): readonly ControlUnit[] {
    return this.#studio.state.settings.controls;
  }

  add(unit: ControlUnit): void {
    this.#studio.change({ controls: [...this.#all, unit] });
  }

  change(id: string, patch: Partial<ControlUnit>): void {
    this.#studio.change({ controls: this.#all.map((unit) => (unit.id === id ? { ...unit, ...patch } : unit)) });
  }

  remove(id: string): void {
    this.setPicture(id, undefined);
    this.#studio.change({ controls: this.#all.filter((unit) => unit.id !== id) });
  }

  setPicture(id: string, picture: Blob | undefined): void {
    const { [id]: _, ...others } = this.#studio.state.controlPictures;
    this.#studio.set({ controlPictures: picture ? { ...others, [id]: picture } : others });
  }

  /** The units of a job. Throws an Error if one lacks its picture and there is no initial one to take. */
  forJob({ controls }: Settings, hasInitial: boolean): readonly ControlUnit[] {
    const { engine, controlPictures } = this.#studio.state;
    if (!engine?.controls) return [];
    const bare = controls.findIndex(({ id }) => !controlPictures[id]);
    if (!hasInitial && bare >= 0) throw new Error(`Choose a picture for control ${bare + 1}, or remove it.`);
    return controls;
  }
}
