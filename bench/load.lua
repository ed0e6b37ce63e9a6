-- The load of the figures: one statement is one event, and its answer is looked at.
--
--   --shapes=FILE    select: one statement a line, taken in turn, %d standing for an id that is drawn anew
--   --rows=N         ids are from 1 to N
--   --settings=FILE  one line for each kind of client: what it sets after its login; client i takes line i modulo
--   --insert=given   insert one row with the id given; filled: without it
--
-- It does not know which way the statements go.

sysbench.cmdline.options = {
   shapes = {"File of statements to take in turn", ""},
   rows = {"Ids are from 1 to this", 100000},
   settings = {"File of settings, one line for each kind of client", ""},
   insert = {"given or filled, to insert instead", ""},
}

local function lines_of(name)
   local lines = {}
   for line in io.lines(name) do
      lines[#lines + 1] = line
   end
   return lines
end

local shapes, at

local function select_one()
   at = at % #shapes + 1
   local answer = con:query(string.format(shapes[at], sysbench.rand.uniform(1, sysbench.opt.rows)))
   if answer.nrows ~= 1 then
      error(string.format("%d rows instead of 1: %s", answer.nrows, shapes[at]))
   end
end

local function insert_given()
   con:query(string.format("INSERT INTO items (id, name) VALUES (%d, 'a name of some length')", at))
   at = at + sysbench.opt.threads
end

local function insert_filled()
   con:query("INSERT INTO items (name) VALUES ('a name of some length')")
end

function thread_init()
   con = sysbench.sql.driver():connect()
   if sysbench.opt.settings ~= "" then
      local settings = lines_of(sysbench.opt.settings)
      local mine = settings[sysbench.tid % #settings + 1]
      if mine ~= "" then
         con:query(mine)
      end
   end
   if sysbench.opt.insert == "given" then
      at = sysbench.tid + 1
      event = insert_given
   elseif sysbench.opt.insert == "filled" then
      event = insert_filled
   else
      shapes = lines_of(sysbench.opt.shapes)
      at = sysbench.tid * 31 -- clients are at different shapes
      event = select_one
   end
end

function thread_done()
   con:disconnect()
end

function event() -- what thread_init makes of it
   error("thread_init has not run")
end
