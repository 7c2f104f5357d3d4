/** The table of keyboard shortcuts, used by the page and shown in the dialog. The mask painter has its own keys. */

import { isAnySeed } from '../settings/settings.ts';
import { download, fileName } from '../history/picture-database.ts';
import { studio, type View } from '../studio.ts';

interface Shortcut {
  /** As shown. */
  readonly keys: string;
  readonly does: string;
  readonly matches: (event: KeyboardEvent) => boolean;
  /** Also while text is being typed. */
  readonly whileTyping?: boolean;
  /** False: the key was not for this after all. */
  readonly run: () => boolean | undefined;
}

const control = (event: KeyboardEvent): boolean => event.ctrlKey || event.metaKey;
const plain =
  (key: string) =>
  (event: KeyboardEvent): boolean =>
    event.key.toLowerCase() === key && !control(event) && !event.altKey;

function focus(id: string): undefined {
  studio.set({ view: 'create' });
  // The view exists only after rendering.
  requestAnimationFrame(() => document.getElementById(id)?.focus());
  return undefined;
}

const toView = (key: string, view: View, label: string): Shortcut => ({
  keys: key,
  does: label,
  matches: plain(key),
  run: () => {
    studio.set({ view });
    return undefined;
  },
});

export const shortcuts: readonly Shortcut[] = [
  {
    keys: 'Ctrl ↵',
    does: 'Make pictures',
    whileTyping: true,
    matches: (event) => event.key === 'Enter' && control(event),
    run: () => {
      void studio.make();
      return undefined;
    },
  },
  {
    keys: 'Esc',
    does: 'Stop',
    whileTyping: true,
    matches: (event) => event.key === 'Escape',
    run: () => {
      if (!studio.isBusy) return false;
      studio.stop();
      return undefined;
    },
  },
  { keys: '/', does: 'Write the prompt', matches: plain('/'), run: () => focus('prompt') },
  {
    keys: 'R',
    does: 'Another seed each time, or the last one again',
    matches: plain('r'),
    run: () => {
      const last = studio.state.made[0]?.settings.seed;
      studio.change({ seed: !isAnySeed(studio.state.settings) || last === undefined ? -1 : last });
      return undefined;
    },
  },
  {
    keys: 'S',
    does: 'Save the picture',
    matches: plain('s'),
    run: () => {
      const {
        made: [picture],
        view,
      } = studio.state;
      if (!picture || view !== 'create') return false;
      download(picture.file, fileName(picture));
      return undefined;
    },
  },
  toView('1', 'create', 'Create'),
  toView('2', 'gallery', 'Gallery'),
  toView('3', 'grid', 'Grid'),
  toView('4', 'compare', 'Compare'),
  {
    keys: '?',
    does: 'These shortcuts',
    matches: plain('?'),
    run: () => {
      studio.set({ dialog: 'shortcuts' });
      return undefined;
    },
  },
];

/** Shortcuts of prompts, the mask painter and the gallery, which handle their own keys. */
export const localShortcuts: readonly (readonly [keys: string, does: string])[] = [
  ['Ctrl ↑ · ↓', 'Weight of the words selected in a prompt'],
  ['B · E · H', 'Brush, eraser, and moving the picture'],
  ['[ · ]', 'Smaller and larger brush'],
  ['Ctrl Z', 'Undo in the mask'],
  ['← · →', 'Next picture in the gallery'],
  ['Del', 'Delete the picture shown'],
];

const isText = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable ||
    /^(textarea|select)$/i.test(target.tagName) ||
    (target instanceof HTMLInputElement && !/^(radio|checkbox|range|button)$/.test(target.type)));

/** Returns how to stop listening. */
export function listenForShortcuts(): () => void {
  const onKey = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]')) return;
    const typing = isText(event.target);
    const found = shortcuts.find(({ matches, whileTyping }) => (whileTyping || !typing) && matches(event));
    if (found && found.run() !== false) event.preventDefault();
  };
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}
