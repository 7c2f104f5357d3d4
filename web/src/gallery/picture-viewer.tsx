/** One picture over the whole page, with its settings; arrow keys move to its neighbours. */

import { useEffect } from 'react';
import { type Picture, urlOf } from '../history/picture-database.ts';
import { settingRows } from '../settings/settings.ts';
import { SettingsTable } from '../settings/settings-table.tsx';
import { Icon } from '../shell/icons.tsx';
import { Modal } from '../shell/modal.tsx';
import { studio } from '../studio.ts';
import { PictureActions } from './picture-actions.tsx';

export interface PictureViewerProps {
  readonly pictures: readonly Picture[];
  /** Its id; undefined: closed. */
  readonly opened: string | undefined;
  readonly onOpen: (id: string | undefined) => void;
}

const madeAt = ({ createdAt }: Picture): string =>
  new Date(createdAt).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });

function Details({ picture, onClose }: { readonly picture: Picture; readonly onClose: () => void }) {
  const rows: (readonly [string, string])[] = [
    ...settingRows(picture.settings, picture.task),
    ['Model', picture.model],
    ['Made', madeAt(picture)],
    ['By', picture.seconds > 0 ? `${picture.engine}, in ${picture.seconds.toFixed(1)} s` : picture.engine],
  ];
  return (
    <div className="viewer-details">
      <SettingsTable rows={rows} />
      <PictureActions picture={picture} words onDone={onClose} />
    </div>
  );
}

export function PictureViewer({ pictures, opened, onOpen }: PictureViewerProps) {
  const at = pictures.findIndex(({ id }) => id === opened);
  const picture = pictures[at];
  const before = pictures[at - 1]?.id;
  const after = pictures[at + 1]?.id;
  useEffect(() => {
    if (!picture) return;
    const onKey = ({ key }: KeyboardEvent): void => {
      if (key === 'ArrowLeft' && before) onOpen(before);
      else if (key === 'ArrowRight' && after) onOpen(after);
      else if (key === 'Delete') {
        void studio.pictures.remove([picture.id]);
        onOpen(after ?? before);
      }
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [picture, before, after, onOpen]);
  const close = (): void => onOpen(undefined);
  return (
    <Modal
      open={picture !== undefined}
      title={picture?.settings.prompt || 'Picture'}
      onClose={close}
      className="viewer"
    >
      {picture && (
        <div className="viewer-columns">
          <div className="viewer-picture">
            <img
              src={urlOf(picture.file)}
              alt={picture.settings.prompt || 'Picture without a prompt'}
              width={picture.settings.width}
              height={picture.settings.height}
            />
            <button
              type="button"
              className="icon-only viewer-previous"
              aria-label="The newer picture"
              disabled={!before}
              onClick={() => onOpen(before)}
            >
              <Icon name="previous" />
            </button>
            <button
              type="button"
              className="icon-only viewer-next"
              aria-label="The older picture"
              disabled={!after}
              onClick={() => onOpen(after)}
            >
              <Icon name="next" />
            </button>
          </div>
          <Details picture={picture} onClose={close} />
        </div>
      )}
    </Modal>
  );
}
