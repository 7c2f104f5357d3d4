/** Making pictures: settings, the picture with its prompt, and those made before. */

import { useState } from 'react';
import { urlOf } from '../history/picture-database.ts';
import { Modal } from '../shell/modal.tsx';
import { studio, useStudio } from '../studio.ts';
import { Composer } from './composer.tsx';
import { SettingsPanel } from './settings-panel.tsx';
import { Stage } from './stage.tsx';

/** Number of pictures in the strip. */
const recent = 24;

function Strip() {
  const { history, made } = useStudio();
  if (history.length === 0) return null;
  return (
    <nav className="strip" aria-label="Recent pictures">
      <ul>
        {history.slice(0, recent).map((picture) => (
          <li key={picture.id}>
            <button
              type="button"
              aria-label={`Show ${picture.settings.prompt || 'picture'}, seed ${picture.settings.seed}`}
              aria-current={made.length === 1 && made[0]?.id === picture.id ? 'true' : undefined}
              onClick={() => studio.set({ made: [picture] })}
            >
              <img src={urlOf(picture.file)} alt="" loading="lazy" decoding="async" />
            </button>
          </li>
        ))}
      </ul>
    </nav>
  );
}

export function CreateView() {
  const [sheet, setSheet] = useState(false);
  return (
    <div className="create">
      <h1 className="visually-hidden">Create</h1>
      <aside className="panel" aria-label="Settings">
        <SettingsPanel />
      </aside>
      <div className="stage">
        <Stage />
        <Composer onSettings={() => setSheet(true)} />
      </div>
      <Strip />
      <Modal open={sheet} title="Settings" className="bottom-sheet" onClose={() => setSheet(false)}>
        <SettingsPanel />
      </Modal>
    </div>
  );
}
