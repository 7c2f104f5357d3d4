/** The field for the initial picture. */

import { useRef } from 'react';
import { type Picture, urlOf } from '../history/picture-database.ts';
import { Icon } from '../shell/icons.tsx';
import { studio, useStudio } from '../studio.ts';

/** @param shown the picture on the stage, which can become the beginning */
export function InitialPicture({ shown }: { readonly shown: Picture | undefined }) {
  const { initial, task } = useStudio();
  const input = useRef<HTMLInputElement>(null);
  const choose = (
    <input
      ref={input}
      type="file"
      hidden
      accept="image/png,image/jpeg,image/webp,image/gif"
      data-testid="initial"
      onChange={(event) => {
        const [file] = event.target.files ?? [];
        if (file) studio.set({ initial: file, mask: undefined, made: [] });
        event.target.value = '';
      }}
    />
  );
  if (!initial && shown && task !== 'txt2img') {
    return (
      <div className="initial-bar">
        {choose}
        <button type="button" className="small" onClick={() => studio.begin(task, shown.file)}>
          {task === 'inpaint' ? 'Paint over this picture' : 'Begin from this picture'}
        </button>
        <button type="button" className="quiet small" onClick={() => input.current?.click()}>
          Another picture
        </button>
      </div>
    );
  }
  if (!initial) {
    return (
      <div className="invitation">
        {choose}
        <Icon name="picture" />
        <h2>{task === 'inpaint' ? 'Which picture should be changed?' : 'Which picture should it start from?'}</h2>
        <p>Drop one anywhere on this page, or choose one from your gallery.</p>
        <button type="button" onClick={() => input.current?.click()}>
          Choose a file
        </button>
      </div>
    );
  }
  return (
    <div className="initial-bar">
      {choose}
      <img src={urlOf(initial)} alt="Starting point" />
      <button type="button" className="quiet small" onClick={() => input.current?.click()}>
        Another picture
      </button>
      <button
        type="button"
        className="quiet small icon-only"
        aria-label="Remove the picture"
        onClick={() => studio.set({ initial: undefined, mask: undefined })}
      >
        <Icon name="close" />
      </button>
    </div>
  );
}
