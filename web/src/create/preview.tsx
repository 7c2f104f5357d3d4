/** A picture that is not finished, as the model sees it. */

import { useEffect, useRef } from 'react';

export function Preview({ bitmap, width, height }: { readonly bitmap: ImageBitmap | undefined; readonly width: number; readonly height: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const { current } = canvas;
    if (!current || !bitmap) return;
    current.width = bitmap.width;
    current.height = bitmap.height;
    current.getContext('2d')?.drawImage(bitmap, 0, 0);
  }, [bitmap]);
  return (
    <div className="preview" style={{ aspectRatio: `${width} / ${height}` }}>
      {bitmap ? <canvas ref={canvas} role="img" aria-label="Unfinished picture" /> : <div className="undeveloped" aria-hidden="true" />}
    </div>
  );
}
