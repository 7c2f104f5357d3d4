/** The stage: empty, a picture being generated, the mask, or the results. */

import { useCallback } from 'react';
import { studio, useStudio } from '../studio.ts';
import { ExtendFrame } from './extend-frame.tsx';
import { InitialPicture } from './initial-picture.tsx';
import { MadePictures } from './made-pictures.tsx';
import { MaskPainter } from './mask-painter.tsx';
import { Preview } from './preview.tsx';
import { Progress } from './progress.tsx';
import { QueueList } from './queue-list.tsx';
import { sheetOf } from './sheet.ts';
import { Welcome } from './welcome.tsx';

export function Stage() {
  const { run, made, shown, task, initial, settings } = useStudio();
  const [first, ...others] = made;
  const onMask = useCallback((mask: Blob | undefined) => studio.set({ mask }), []);
  if (run) {
    return (
      <div className="stage-inner">
        <div className="sheet" style={sheetOf(run.settings.batchSize, run.settings)}>
          {Array.from({ length: run.settings.batchSize }, (_, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a picture keeps its place in the batch
            <Preview key={i} bitmap={run.previews[i]} width={run.settings.width} height={run.settings.height} />
          ))}
        </div>
        <Progress run={run} />
        <QueueList />
      </div>
    );
  }
  const { width, height } = settings;
  return (
    <div className="stage-inner">
      {task !== 'txt2img' && <InitialPicture shown={made.find(({ id }) => id === shown) ?? first} />}
      {first && <MadePictures made={[first, ...others]} />}
      {!first && task === 'txt2img' && <Welcome />}
      {!first && task === 'img2img' && initial && <ExtendFrame image={initial} />}
      {!first && task === 'inpaint' && initial && (
        <MaskPainter image={initial} width={width || 512} height={height || 512} disabled={false} onMask={onMask} />
      )}
    </div>
  );
}
