/** The picture: nothing yet, one that is being made, the mask, or what was made. */

import { useCallback, useState } from 'react';
import { BrowserEngine } from '../engines/browser-engine.ts';
import { urlOf } from '../history/picture-database.ts';
import { PictureActions } from '../gallery/picture-actions.tsx';
import type { Settings } from '../settings/settings.ts';
import { studio, useStudio } from '../studio.ts';
import { InitialPicture } from './initial-picture.tsx';
import { MaskPainter } from './mask-painter.tsx';
import { Preview } from './preview.tsx';
import { Progress } from './progress.tsx';

const ideas = ['grinning face', 'red apple', 'blue heart', 'cat face', 'green tree', 'birthday cake', 'yellow star'];

/** Small pictures are not blown up beyond this many pixels of the screen for one of theirs. */
const largestScale = 4;

/** How a number of pictures is set in columns and rows. */
function sheetOf(count: number, { width, height }: Pick<Settings, 'width' | 'height'>): React.CSSProperties {
  const columns = count <= 1 ? 1 : count <= 4 ? 2 : count <= 9 ? 3 : 4;
  return { '--columns': columns, '--rows': Math.ceil(count / columns), '--ratio': width / height || 1, '--largest': `${(width || 512) * columns * largestScale}px` } as React.CSSProperties;
}

function Welcome() {
  const { model, engine, historyLoaded } = useStudio();
  if (!historyLoaded) return null;
  return (
    <div className="welcome">
      <h2>Describe a picture.</h2>
      <p>It is made {engine instanceof BrowserEngine ? 'in this browser; nothing leaves your machine' : 'on your server'}.</p>
      {model === 'pocket' && (
        <ul className="ideas" aria-label="Try one of these">
          {ideas.map((idea) => (
            <li key={idea}>
              <button type="button" onClick={() => {
                studio.change({ prompt: idea });
                void studio.make();
              }}>{idea}</button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function Stage() {
  const { run, made, task, initial, settings } = useStudio();
  const [chosen, setChosen] = useState<string>();
  const onMask = useCallback((mask: Blob | undefined) => studio.set({ mask }), []);
  const shown = made.find(({ id }) => id === chosen) ?? made[0];
  const painting = task === 'inpaint' && initial && !run && made.length === 0;
  return (
    <div className="stage-inner">
      {task !== 'txt2img' && !run && (made.length === 0 || initial) && <InitialPicture />}
      {painting && <MaskPainter image={initial} width={settings.width || 512} height={settings.height || 512} disabled={false} onMask={onMask} />}
      {run && (
        <div className="sheet" style={sheetOf(run.settings.batchSize, run.settings)}>
          {Array.from({ length: run.settings.batchSize }, (_, i) => (
            <Preview key={i} bitmap={run.previews[i]} width={run.settings.width} height={run.settings.height} />
          ))}
        </div>
      )}
      {run && <Progress run={run} />}
      {!run && made.length > 0 && shown && (
        <>
          <div className="sheet" style={sheetOf(made.length, shown.settings)}>
            {made.map((picture) => (
              <button key={picture.id} type="button" className="made" aria-pressed={made.length > 1 ? picture.id === shown.id : undefined} aria-label={`Picture of ${picture.settings.prompt || 'no prompt'}, seed ${picture.settings.seed}`} onClick={() => setChosen(picture.id)}>
                <img src={urlOf(picture.file)} alt="" style={{ aspectRatio: `${picture.settings.width} / ${picture.settings.height}` }} />
                {picture.flagged && <span className="flag">Held back by the safety checker</span>}
              </button>
            ))}
          </div>
          <div className="made-bar">
            <p className="caption">
              seed {shown.settings.seed} · {shown.settings.width} × {shown.settings.height} · {shown.seconds.toFixed(1)} s
            </p>
            <PictureActions picture={shown} />
          </div>
          {task === 'inpaint' && initial && <button type="button" className="quiet" onClick={() => studio.set({ made: [] })}>Back to the mask</button>}
        </>
      )}
      {!run && made.length === 0 && task === 'txt2img' && <Welcome />}
      {task === 'img2img' && initial && !run && made.length === 0 && (
        <div className="sheet" style={sheetOf(1, settings)}>
          <img className="beginning" src={urlOf(initial)} alt="Begins from this" style={{ aspectRatio: `${settings.width} / ${settings.height}` }} />
        </div>
      )}
    </div>
  );
}
