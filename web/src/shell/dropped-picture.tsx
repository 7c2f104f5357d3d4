/** A picture that was dropped in: its settings, and what may be done with it. */

import { useEffect, useState } from 'react';
import { newId } from '../history/new-id.ts';
import { type Picture, urlOf } from '../history/picture-database.ts';
import { type FoundSettings, settingsOfPicture } from '../settings/from-picture.ts';
import { settingRows } from '../settings/settings.ts';
import { SettingsTable } from '../settings/settings-table.tsx';
import { studio, useStudio } from '../studio.ts';
import { type WorkflowFile, workflowInPicture } from '../workflow/opened-workflow.ts';
import { Modal } from './modal.tsx';

/** The picture as stored in the gallery. */
async function pictureOf(file: File, found: FoundSettings | undefined): Promise<Picture> {
  const { width, height } = await createImageBitmap(file);
  const settings = found?.settings ?? {
    ...studio.state.settings,
    prompt: file.name.replace(/\.[^.]+$/, ''),
    negativePrompt: '',
    seed: 0,
  };
  return {
    id: newId(),
    createdAt: Date.now(),
    task: found?.task ?? 'txt2img',
    settings: { ...settings, width, height, batchSize: 1 },
    model: found?.model ?? '',
    engine: 'Added',
    seconds: 0,
    file,
  };
}

export function DroppedPicture() {
  const { dropped } = useStudio();
  const [found, setFound] = useState<FoundSettings>();
  const [workflow, setWorkflow] = useState<WorkflowFile>();
  const [read, setRead] = useState(false);
  useEffect(() => {
    setFound(undefined);
    setWorkflow(undefined);
    setRead(false);
    if (!dropped) return;
    let current = true;
    settingsOfPicture(dropped, studio.state.settings)
      .catch(() => undefined)
      .then((settings) => {
        if (!current) return;
        setFound(settings);
        setRead(true);
      });
    void workflowInPicture(dropped)
      .catch(() => undefined)
      .then((carried) => current && setWorkflow(carried));
    return () => {
      current = false;
    };
  }, [dropped]);
  const close = (): void => studio.set({ dropped: undefined });
  return (
    <Modal open={dropped !== undefined} title={dropped?.name ?? 'A picture'} onClose={close} className="dropped">
      {dropped && (
        <>
          <div className="dropped-columns">
            <img src={urlOf(dropped)} alt="Dropped in" />
            <div>
              {found ? (
                <SettingsTable
                  rows={[
                    ...settingRows(found.settings, found.task),
                    ...(found.model ? [['Model', found.model] as const] : []),
                  ]}
                />
              ) : (
                <p className="muted">{read ? 'This picture contains no settings.' : 'Reading its settings …'}</p>
              )}
            </div>
          </div>
          <div className="dialog-actions">
            <button
              type="button"
              className="quiet"
              onClick={async () => {
                close();
                await studio.pictures.keep([await pictureOf(dropped, found)]);
                studio.set({ notice: { kind: 'info', text: 'The picture is in your gallery.' } });
              }}
            >
              Add to gallery
            </button>
            <button type="button" onClick={() => studio.begin('inpaint', dropped)}>
              Inpaint
            </button>
            <button type="button" onClick={() => studio.begin('img2img', dropped)}>
              Begin from it
            </button>
            {workflow && (
              <button
                type="button"
                className={found ? undefined : 'primary'}
                onClick={() => studio.set({ view: 'workflow', workflow, dropped: undefined })}
              >
                Open its workflow
              </button>
            )}
            {found && (
              <button type="button" className="primary" onClick={() => studio.applySettings(found.settings)}>
                Use these settings
              </button>
            )}
          </div>
        </>
      )}
    </Modal>
  );
}
