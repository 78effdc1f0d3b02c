"""What the pictures of this folder share: colours, letters, the frame of an SVG file."""

from xml.sax.saxutils import escape

# Okabe and Ito's colours, which colour-blind eyes tell apart; shape and words say the same as each colour.
BLUE, VERMILION = "#0072b2", "#d55e00"
PAPER, INK, FAINT, LINE, TRACK, OTHER = "#ffffff", "#1f2328", "#59636e", "#d1d9e0", "#e6eaef", "#8c959f"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def text(x, y, content, size=14, fill=INK, anchor="start", weight=400):
    return (f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
            f'text-anchor="{anchor}">{escape(content)}</text>')


def head(width, height, title, description):
    """The beginning of the file, and what is read out in the picture's place."""
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           f'role="img" aria-labelledby="title desc" font-family="{FONT}">')
    yield f'<title id="title">{escape(title)}</title>'
    yield f'<desc id="desc">{escape(description)}</desc>'


def paper(width, height):
    return f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{PAPER}" stroke="{LINE}"/>'
