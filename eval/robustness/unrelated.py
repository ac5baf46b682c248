"""Code that has nothing to do with any case: definitions to stand around one. Written for this purpose; data only.

Nothing here imports, prints or runs anything when it is defined.
"""

UNRELATED: dict[str, tuple[str, ...]] = {
    "python": (
        '''class RingLog:
    """Keeps the last lines that were written."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.kept = []

    def write(self, line):
        self.kept.append(line)
        if len(self.kept) > self.capacity:
            self.kept.pop(0)

    def tail(self, amount):
        return self.kept[-amount:]
''',
        '''def parse_duration_label(label):
    """Seconds of a text such as "1h 20m"."""
    units = {"h": 3600, "m": 60, "s": 1}
    seconds = 0
    for part in label.split():
        seconds += int(part[:-1]) * units[part[-1]]
    return seconds
''',
        '''def wrap_banner(title, width=40):
    edge = "=" * width
    padding = max(0, (width - len(title)) // 2)
    return "\\n".join([edge, " " * padding + title, edge])
''',
        '''class SeatPlan:
    def __init__(self, rows, columns):
        self.free = {(row, column) for row in range(rows) for column in range(columns)}
        self.booked = {}

    def book(self, guest, row, column):
        if (row, column) not in self.free:
            return False
        self.free.discard((row, column))
        self.booked[guest] = (row, column)
        return True

    def cancel(self, guest):
        place = self.booked.pop(guest, None)
        if place is not None:
            self.free.add(place)
''',
        '''def merge_settings(defaults, given):
    merged = dict(defaults)
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge_settings(merged[key], value)
        elif value is not None:
            merged[key] = value
    return merged
''',
        '''def moving_average_of(readings, span):
    averages = []
    for end in range(span, len(readings) + 1):
        stretch = readings[end - span : end]
        averages.append(sum(stretch) / span)
    return averages
''',
        '''def render_invoice(lines, tax_rate):
    total = 0
    shown = []
    for description, amount, price in lines:
        cost = amount * price
        total += cost
        shown.append(f"{description:<20}{amount:>4} x {price:>8.2f} = {cost:>9.2f}")
    shown.append(f"{'tax':<20}{total * tax_rate:>25.2f}")
    shown.append(f"{'total':<20}{total * (1 + tax_rate):>25.2f}")
    return shown
''',
        '''class Debouncer:
    def __init__(self, quiet_for):
        self.quiet_for = quiet_for
        self.last_seen = {}

    def accepts(self, event, now):
        before = self.last_seen.get(event)
        self.last_seen[event] = now
        return before is None or now - before >= self.quiet_for
''',
    ),
    "javascript": (
        '''class RingLog {
  constructor(capacity) {
    this.capacity = capacity;
    this.kept = [];
  }

  write(line) {
    this.kept.push(line);
    if (this.kept.length > this.capacity) {
      this.kept.shift();
    }
  }

  tail(amount) {
    return this.kept.slice(-amount);
  }
}
''',
        '''function parseDurationLabel(label) {
  const units = { h: 3600, m: 60, s: 1 };
  let seconds = 0;
  for (const part of label.split(' ')) {
    seconds += parseInt(part.slice(0, -1), 10) * units[part.slice(-1)];
  }
  return seconds;
}
''',
        '''function mergeSettings(defaults, given) {
  const merged = { ...defaults };
  for (const key of Object.keys(given)) {
    if (given[key] !== undefined) {
      merged[key] = given[key];
    }
  }
  return merged;
}
''',
        '''class SeatPlan {
  constructor(rows, columns) {
    this.free = new Set();
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        this.free.add(`${row}:${column}`);
      }
    }
  }

  book(row, column) {
    return this.free.delete(`${row}:${column}`);
  }
}
''',
        '''function movingAverageOf(readings, span) {
  const averages = [];
  for (let end = span; end <= readings.length; end++) {
    let sum = 0;
    for (const reading of readings.slice(end - span, end)) {
      sum += reading;
    }
    averages.push(sum / span);
  }
  return averages;
}
''',
        '''function wrapBanner(title, width) {
  const edge = '='.repeat(width);
  const padding = Math.max(0, Math.floor((width - title.length) / 2));
  return [edge, ' '.repeat(padding) + title, edge].join('\\n');
}
''',
    ),
    "java": (
        '''class RingLog {
    private final String[] kept;
    private int written = 0;

    RingLog(int capacity) {
        kept = new String[capacity];
    }

    void write(String line) {
        kept[written % kept.length] = line;
        written++;
    }

    String last() {
        return written == 0 ? "" : kept[(written - 1) % kept.length];
    }
}
''',
        '''class DurationLabel {
    static int seconds(String label) {
        int total = 0;
        for (String part : label.split(" ")) {
            int amount = Integer.parseInt(part.substring(0, part.length() - 1));
            char unit = part.charAt(part.length() - 1);
            total += unit == 'h' ? amount * 3600 : unit == 'm' ? amount * 60 : amount;
        }
        return total;
    }
}
''',
        '''class SeatPlan {
    private final boolean[][] booked;

    SeatPlan(int rows, int columns) {
        booked = new boolean[rows][columns];
    }

    boolean book(int row, int column) {
        if (booked[row][column]) {
            return false;
        }
        booked[row][column] = true;
        return true;
    }
}
''',
        '''class MovingAverage {
    static double[] of(double[] readings, int span) {
        double[] averages = new double[Math.max(0, readings.length - span + 1)];
        for (int start = 0; start < averages.length; start++) {
            double sum = 0;
            for (int at = start; at < start + span; at++) {
                sum += readings[at];
            }
            averages[start] = sum / span;
        }
        return averages;
    }
}
''',
    ),
}  # fmt: skip
"""Language -> definitions, each with a final newline."""
