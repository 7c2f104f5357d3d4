/** The pictures of the last job: one is selected, and can be opened large, used, or compared with its initial picture. */

import { useState } from 'react';
import { PictureActions } from '../gallery/picture-actions.tsx';
import { PictureViewer } from '../gallery/picture-viewer.tsx';
import { type Picture, urlOf } from '../history/picture-database.ts';
import { studio, useStudio } from '../studio.ts';
import { sheetOf } from './sheet.ts';

/** A button that acts for as long as it is held, by pointer or key. */
function HoldButton({ label, onHold }: { readonly label: string; readonly onHold: (held: boolean) => void }) {
  const release = (): void => onHold(false);
  return (
    <button
      type="button"
      className="quiet small hold"
      onPointerDown={() => onHold(true)}
      onPointerUp={release}
      onPointerLeave={release}
      onBlur={release}
      onKeyDown={({ key }) => (key === ' ' || key === 'Enter') && onHold(true)}
      onKeyUp={release}
    >
      {label}
    </button>
  );
}

export function MadePictures({ made }: { readonly made: readonly [Picture, ...Picture[]] }) {
  const { task, initial, shown: chosen } = useStudio();
  const [opened, setOpened] = useState<string>();
  const [original, setOriginal] = useState(false);
  const shown = made.find(({ id }) => id === chosen) ?? made[0];
  const several = made.length > 1;
  const { seed, width, height } = shown.settings;
  return (
    <>
      <div className="sheet" style={sheetOf(made.length, shown.settings)}>
        {made.map((picture) => (
          <button
            key={picture.id}
            type="button"
            className="made"
            aria-pressed={several ? picture.id === shown.id : undefined}
            aria-label={`Picture of ${picture.settings.prompt || 'no prompt'}, seed ${picture.settings.seed}`}
            onClick={() =>
              several && picture.id !== shown.id ? studio.set({ shown: picture.id }) : setOpened(picture.id)
            }
          >
            <img
              src={urlOf(original && initial ? initial : picture.file)}
              alt=""
              style={{ aspectRatio: `${width} / ${height}` }}
            />
            {picture.flagged && <span className="flag">Held back by the safety checker</span>}
          </button>
        ))}
      </div>
      <div className="made-bar">
        <p className="caption">
          seed {seed} · {width} × {height}
          {shown.seconds > 0 && ` · ${shown.seconds.toFixed(1)} s`}
        </p>
        {shown.task !== 'txt2img' && initial && <HoldButton label="Hold for the original" onHold={setOriginal} />}
        <PictureActions picture={shown} />
      </div>
      {task === 'inpaint' && initial && (
        <button type="button" className="quiet small back-to-mask" onClick={() => studio.set({ made: [] })}>
          Back to the mask
        </button>
      )}
      <PictureViewer pictures={made} opened={opened} onOpen={setOpened} />
    </>
  );
}
