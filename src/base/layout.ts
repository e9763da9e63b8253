/** A size in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A rectangle of pixels. */
export interface Box extends Size {
  readonly left: number;
  readonly top: number;
}

/** A result's size, and the box around the subject in it; without a subject, the box has no pixels. */
export interface Layout extends Size {
  readonly foreground: Box;
}
