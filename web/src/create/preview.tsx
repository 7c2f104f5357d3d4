/** A picture that is not finished, as the model sees it. */

import { useEffect, useRef } from 'react';

export interface PreviewProps {
  readonly bitmap: ImageBitmap | undefined;
  readonly width: number;
  readonly height: number;
  /** True while it is being generated. */
  readonly active?: boolean;
}

export function Preview({ bitmap, width, height, active = true }: PreviewProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const { current } = canvas;
    if (!current || !bitmap) return;
    current.width = bitmap.width;
    current.height = bitmap.height;
    current.getContext('2d')?.drawImage(bitmap, 0, 0);
  }, [bitmap]);
  return (
    <div className="preview" data-active={active} style={{ aspectRatio: `${width} / ${height}` }}>
      {bitmap ? (
        <canvas ref={canvas} role="img" aria-label="Unfinished picture" />
      ) : (
        <div className="undeveloped" aria-hidden="true" />
      )}
    </div>
  );
}
