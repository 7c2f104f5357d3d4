/** The keyboard shortcuts. */

import { studio, useStudio } from '../studio.ts';
import { Modal } from './modal.tsx';
import { localShortcuts, shortcuts } from './shortcuts.ts';

export function ShortcutsDialog() {
  const { dialog } = useStudio();
  return (
    <Modal open={dialog === 'shortcuts'} title="Keyboard shortcuts" onClose={() => studio.set({ dialog: undefined })}>
      <dl className="shortcuts">
        {[...shortcuts.map(({ keys, does }) => [keys, does] as const), ...localShortcuts].map(([keys, does]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Modal>
  );
}
