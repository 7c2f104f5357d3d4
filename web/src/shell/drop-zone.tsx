/** Files dropped on the page or pasted: pictures open a dialog, checkpoints are loaded. Pasted settings text is applied. */

import { type ReactNode, useEffect, useState } from 'react';
import { rasterPicture } from '../history/raster-picture.ts';
import { settingsOfText } from '../settings/from-picture.ts';
import { addModels } from '../engines/own-models.ts';
import { studio } from '../studio.ts';
import { readWorkflowFile } from '../workflow/opened-workflow.ts';

const isWorkflow = ({ name }: File): boolean => /\.json$/i.test(name);
const isModel = ({ name }: File): boolean => /\.(safetensors|ckpt|pt|ya?ml)$/i.test(name);

async function takeFiles(files: readonly File[]): Promise<void> {
  const models = files.filter(isModel);
  const picture = files.find(({ type }) => type.startsWith('image/'));
  try {
    const workflow = files.find(isWorkflow);
    if (models.length > 0) await addModels(models);
    else if (workflow) studio.set({ view: 'workflow', workflow: await readWorkflowFile(workflow) });
    else if (picture) studio.set({ dropped: await rasterPicture(picture) });
    else
      throw new Error(
        `${files[0]?.name ?? 'This'} is neither a picture, nor a checkpoint (.safetensors, .ckpt), nor a workflow (.json).`,
      );
  } catch (error) {
    studio.set({ notice: { kind: 'error', text: (error as Error).message } });
  }
}

function onPaste(event: ClipboardEvent): void {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length > 0) {
    event.preventDefault();
    void takeFiles(files);
    return;
  }
  const found = settingsOfText(event.clipboardData?.getData('text/plain') ?? '', studio.state.settings);
  if (!found) return;
  event.preventDefault();
  studio.applySettings(found.settings);
  studio.set({ notice: { kind: 'info', text: 'The settings that were pasted are set.' } });
}

export function DropZone({ children }: { readonly children: ReactNode }) {
  const [over, setOver] = useState(false);
  useEffect(() => {
    let depth = 0;
    const holdsFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
    const listeners: { readonly [K in 'dragenter' | 'dragover' | 'dragleave' | 'drop']: (event: DragEvent) => void } = {
      dragenter: (event) => {
        if (!holdsFiles(event)) return;
        depth++;
        setOver(true);
      },
      dragover: (event) => holdsFiles(event) && event.preventDefault(),
      dragleave: (event) => {
        if (holdsFiles(event) && --depth <= 0) setOver(false);
      },
      drop: (event) => {
        depth = 0;
        setOver(false);
        const files = [...(event.dataTransfer?.files ?? [])];
        if (files.length === 0) return;
        event.preventDefault();
        void takeFiles(files);
      },
    };
    for (const [name, listener] of Object.entries(listeners))
      document.addEventListener(name, listener as EventListener);
    document.addEventListener('paste', onPaste);
    return () => {
      for (const [name, listener] of Object.entries(listeners))
        document.removeEventListener(name, listener as EventListener);
      document.removeEventListener('paste', onPaste);
    };
  }, []);
  return (
    <>
      {children}
      {over && (
        <div className="drop-over" aria-hidden="true">
          <p>
            Drop a picture to read its settings or begin from it,
            <br />
            or a checkpoint or a workflow to use it.
          </p>
        </div>
      )}
    </>
  );
}
