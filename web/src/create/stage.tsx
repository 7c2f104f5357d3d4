/** The picture: nothing yet, one that is being made, the mask, or what was made. */

import { useCallback, useState } from 'react';
import { urlOf } from '../history/picture-database.ts';
import { PictureActions } from '../gallery/picture-actions.tsx';
import { studio, useStudio } from '../studio.ts';
import { InitialPicture } from './initial-picture.tsx';
import { MaskPainter } from './mask-painter.tsx';
import { Preview } from './preview.tsx';
import { Progress } from './progress.tsx';

const ideas = ['grinning face', 'red apple', 'blue heart', 'cat face', 'green tree', 'birthday cake', 'yellow star'];

/** Columns that a number of pictures is set in. */
const columns = (count: number): number => (count <= 1 ? 1 : count <= 4 ? 2 : count <= 9 ? 3 : 4);

function Welcome() {
  const { model, engine, historyLoaded } = useStudio();
  if (!historyLoaded) return null;
  return (
    <div className="welcome">
      <h1>Describe a picture.</h1>
      <p>It is made {engine?.title.startsWith('This browser') ? 'in this browser; nothing leaves your machine' : 'on your server'}.</p>
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
  const count = run ? run.settings.batchSize : made.length;
  const ratio = run ? run.settings.width / run.settings.height : shown ? shown.settings.width / shown.settings.height : 1;
  return (
    <div className="stage-inner">
      {task !== 'txt2img' && !run && (made.length === 0 || initial) && <InitialPicture />}
      {painting && <MaskPainter image={initial} width={settings.width || 512} height={settings.height || 512} disabled={false} onMask={onMask} />}
      {run && (
        <div className="sheet" style={{ '--columns': columns(count), '--ratio': ratio } as React.CSSProperties}>
          {Array.from({ length: count }, (_, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a preview is its place in the batch
            <Preview key={i} bitmap={run.previews[i]} width={run.settings.width} height={run.settings.height} />
          ))}
        </div>
      )}
      {run && <Progress run={run} />}
      {!run && made.length > 0 && shown && (
        <>
          <div className="sheet" style={{ '--columns': columns(count), '--ratio': ratio } as React.CSSProperties}>
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
        <div className="sheet" style={{ '--columns': 1, '--ratio': settings.width / settings.height || 1 } as React.CSSProperties}>
          <img className="beginning" src={urlOf(initial)} alt="Begins from this" style={{ aspectRatio: `${settings.width} / ${settings.height}` }} />
        </div>
      )}
    </div>
  );
}
