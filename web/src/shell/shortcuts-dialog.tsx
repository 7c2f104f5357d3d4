/** The keyboard shortcuts, and light or dark. */

import { useState } from 'react';
import { Segments } from '../settings/fields.tsx';
import { useStudio } from '../studio.ts';
import { Modal } from './modal.tsx';
import { localShortcuts, shortcuts } from './shortcuts.ts';
import { rememberedTheme, rememberTheme, themes } from './theme.ts';

export function ShortcutsDialog({ onUnderstood }: { readonly onUnderstood: () => void }) {
  const { dialog } = useStudio();
  const [theme, setTheme] = useState(rememberedTheme);
  return (
    <Modal open={dialog === 'shortcuts'} title="Keyboard and colours" onClose={onUnderstood}>
      <dl className="shortcuts">
        {[...shortcuts.map(({ keys, does }) => [keys, does] as const), ...localShortcuts].map(([keys, does]) => (
          <div key={keys}>
            <dt><kbd>{keys}</kbd></dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <h3>Colours</h3>
      <Segments legend="Colours" name="theme" value={theme} options={themes} onChange={(value) => {
        setTheme(value);
        rememberTheme(value);
      }} />
    </Modal>
  );
}
