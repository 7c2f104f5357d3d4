/** A dialog over the page, by the platform's own element: it traps the focus; Escape or a click outside closes it. */

import { type ReactNode, useEffect, useRef } from 'react';
import { Icon } from './icons.tsx';
import { NoticeBar } from './notice-bar.tsx';

export interface ModalProps {
  readonly open: boolean;
  readonly title: string;
  readonly onClose: () => void;
  readonly className?: string;
  readonly children: ReactNode;
}

export function Modal({ open, title, onClose, className = '', children }: ModalProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open && !dialog.current?.open) dialog.current?.showModal();
    else if (!open) dialog.current?.close();
  }, [open]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape does the same
    <dialog
      ref={dialog}
      className={`modal ${className}`}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      {open && (
        <div className="modal-body">
          <div className="dialog-head">
            <h2>{title}</h2>
            <button type="button" className="quiet icon-only" aria-label="Close" onClick={onClose}>
              <Icon name="close" />
            </button>
          </div>
          {children}
          <NoticeBar />
        </div>
      )}
    </dialog>
  );
}
