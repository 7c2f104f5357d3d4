/** The page's icons: strokes on a 20 x 20 grid. Decoration only; what a button does is in its label. */

import type { ReactNode } from 'react';

const paths = {
  settings: (
    <>
      <path d="M3 6h8m4 0h2M3 14h2m4 0h8" />
      <circle cx="13" cy="6" r="2" />
      <circle cx="7" cy="14" r="2" />
    </>
  ),
  download: <path d="M10 3v9m-4-4 4 4 4-4M4 16h12" />,
  copy: (
    <>
      <rect x="7" y="7" width="9" height="9" rx="2" />
      <path d="M13 7V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v5a2 2 0 0 0 2 2h1" />
    </>
  ),
  trash: <path d="M4 6h12M8 6V4h4v2m-6 0 .7 10h6.6L14 6" />,
  picture: (
    <>
      <rect x="3" y="4" width="14" height="12" rx="2" />
      <path d="m4 14 4-4 3 3 2-2 3 3" />
      <circle cx="12.5" cy="7.5" r="1" />
    </>
  ),
  brush: <path d="M11 9 16 3l1 1-6 5m-2 0 2 2c0 3-3 5-7 5 1.5-1 1-2 1-3.5C6 10.5 8 9 9 9Z" />,
  eraser: <path d="m8 16-4-4 8-8 5 5-7 7H8Zm-1-7 5 5M9 16h8" />,
  undo: <path d="M7 5 3 9l4 4M3 9h8a5 5 0 0 1 0 8H9" />,
  redo: <path d="m13 5 4 4-4 4m4-4H9a5 5 0 0 0 0 8h2" />,
  dice: (
    <>
      <rect x="3.5" y="3.5" width="13" height="13" rx="3" />
      <path d="M7.5 7.5h.01M12.5 12.5h.01M10 10h.01M12.5 7.5h.01M7.5 12.5h.01" strokeWidth="2" />
    </>
  ),
  swap: <path d="M6 3v12m0 0-3-3m3 3 3-3m5 5V5m0 0-3 3m3-3 3 3" />,
  compare: (
    <>
      <path d="M10 3v14" />
      <path d="M8 5H4v10h4m4-10h4v10h-4" />
    </>
  ),
  close: <path d="m5 5 10 10M15 5 5 15" />,
  grid: (
    <>
      <rect x="3.5" y="3.5" width="5" height="5" rx="1" />
      <rect x="11.5" y="3.5" width="5" height="5" rx="1" />
      <rect x="3.5" y="11.5" width="5" height="5" rx="1" />
      <rect x="11.5" y="11.5" width="5" height="5" rx="1" />
    </>
  ),
  check: <path d="m4 10.5 4 4 8-9" />,
  negative: (
    <>
      <circle cx="10" cy="10" r="6.5" />
      <path d="M7 10h6" />
    </>
  ),
  layers: <path d="m10 3 7 3.5-7 3.5-7-3.5L10 3Zm-7 7 7 3.5 7-3.5M3 13.5 10 17l7-3.5" />,
  style: (
    <path d="M10 3a7 7 0 1 0 0 14c1.4 0 1.8-.9 1.3-1.9-.5-1.1.2-2.1 1.4-2.1H15a2.5 2.5 0 0 0 2-2.5C17 6.3 14 3 10 3ZM6.5 10h.01M8 6.8h.01M12 6.8h.01" />
  ),
  lasso: (
    <path d="M6.6 12.2C4.4 11.4 3 10 3 8.3 3 5.7 6.1 3.5 10 3.5s7 2.2 7 4.8-3.1 4.8-7 4.8c-.7 0-1.3 0-1.9-.2M6.6 12.2a1.5 1.5 0 1 0 1.5.7c.4 1.8 0 3-1.7 3.9" />
  ),
  hand: (
    <path d="M7 10V5a1.2 1.2 0 0 1 2.4 0v4m0-5.2a1.2 1.2 0 0 1 2.4 0V9m0-4a1.2 1.2 0 0 1 2.4 0v6c0 4-1.6 6-5 6-2.6 0-3.6-1.4-5.6-5a1.2 1.2 0 0 1 2-1.2L7 12" />
  ),
  zoomIn: (
    <>
      <circle cx="9" cy="9" r="5.5" />
      <path d="m13 13 4 4M9 6.5v5M6.5 9h5" />
    </>
  ),
  zoomOut: (
    <>
      <circle cx="9" cy="9" r="5.5" />
      <path d="m13 13 4 4M6.5 9h5" />
    </>
  ),
  fit: <path d="M3 8V4h4M17 8V4h-4M3 12v4h4m10-4v4h-4" />,
  plus: <path d="M10 4v12M4 10h12" />,
  search: (
    <>
      <circle cx="9" cy="9" r="5" />
      <path d="m13 13 4 4" />
    </>
  ),
  keyboard: (
    <>
      <rect x="2" y="5" width="16" height="10" rx="2" />
      <path d="M5 8h.01M8 8h.01M11 8h.01M14 8h.01M7 12h6" />
    </>
  ),
  invert: (
    <>
      <circle cx="10" cy="10" r="6.5" />
      <path d="M10 3.5a6.5 6.5 0 0 1 0 13Z" fill="currentColor" />
    </>
  ),
  workflow: (
    <>
      <rect x="2.5" y="4" width="5" height="5" rx="1.2" />
      <rect x="12.5" y="11" width="5" height="5" rx="1.2" />
      <path d="M7.5 6.5H10v7h2.5" />
    </>
  ),
  previous: <path d="m12 4-6 6 6 6" />,
  next: <path d="m8 4 6 6-6 6" />,
} satisfies Readonly<Record<string, ReactNode>>;

export type IconName = keyof typeof paths;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg
      className="icon"
      viewBox="0 0 20 20"
      width="20"
      height="20"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {paths[name]}
    </svg>
  );
}

/** Noise that becomes a shape: the mark of the page. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
      <path d="M12 3a9 9 0 0 1 0 18Z" fill="currentColor" />
      <g fill="currentColor">
        <circle cx="10.2" cy="5.5" r="1" />
        <circle cx="7.8" cy="8" r=".9" />
        <circle cx="10" cy="9.2" r="1.1" />
        <circle cx="5" cy="10.6" r=".7" />
        <circle cx="8" cy="12" r="1" />
        <circle cx="10.2" cy="13.2" r="1.1" />
        <circle cx="5.8" cy="14.2" r=".7" />
        <circle cx="8.2" cy="16" r=".9" />
        <circle cx="10.1" cy="18.2" r="1" />
        <circle cx="3.2" cy="12.6" r=".5" />
        <circle cx="5.7" cy="6.6" r=".5" />
      </g>
    </svg>
  );
}
