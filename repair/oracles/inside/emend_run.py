"""`python -m emend_run`: the entry, apart so that a warm interpreter need not compile `emend_inside` again."""

import emend_inside

emend_inside.main()
