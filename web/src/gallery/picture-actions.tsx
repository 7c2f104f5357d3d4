/** Actions on a picture. */

import { download, fileName, type Picture } from '../history/picture-database.ts';
import { Icon, type IconName } from '../shell/icons.tsx';
import { copySettings } from '../settings/copy-settings.ts';
import { studio } from '../studio.ts';

interface Action {
  readonly label: string;
  readonly icon: IconName;
  readonly run: (picture: Picture) => void;
  /** The picture is unchanged and stays open. */
  readonly stays?: boolean;
}

const actions: readonly Action[] = [
  { label: 'Start from it', icon: 'picture', run: ({ file }) => studio.begin('img2img', file) },
  { label: 'Inpaint', icon: 'brush', run: ({ file }) => studio.begin('inpaint', file) },
  { label: 'Use settings', icon: 'settings', run: ({ settings }) => studio.applySettings(settings) },
  {
    label: 'Copy settings',
    icon: 'copy',
    stays: true,
    run: (picture) =>
      void copySettings(picture).then(
        () => studio.set({ notice: { kind: 'info', text: 'The settings are in the clipboard.' } }),
        (error: Error) => studio.set({ notice: { kind: 'error', text: error.message } }),
      ),
  },
  { label: 'Compare', icon: 'compare', run: ({ id }) => studio.pictures.compare(id) },
  { label: 'Save', icon: 'download', stays: true, run: (picture) => download(picture.file, fileName(picture)) },
  { label: 'Delete', icon: 'trash', run: ({ id }) => void studio.pictures.remove([id]) },
];

/** Icons with titles, or with labels if there is room. */
export function PictureActions({
  picture,
  words = false,
  onDone,
}: {
  readonly picture: Picture;
  readonly words?: boolean;
  readonly onDone?: () => void;
}) {
  return (
    <div className="actions" role="toolbar" aria-label="This picture" data-words={words}>
      {actions.map(({ label, icon, run, stays }) => (
        <button
          key={label}
          type="button"
          className={words ? 'quiet' : 'quiet icon-only'}
          {...(words ? {} : { 'aria-label': label, title: label })}
          onClick={() => {
            run(picture);
            if (!stays) onDone?.();
          }}
        >
          <Icon name={icon} />
          {words && label}
        </button>
      ))}
    </div>
  );
}
