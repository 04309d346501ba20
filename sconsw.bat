@echo off
rem sconsw.bat [SCons options] [TARGET...] [NAME=value...]
rem The same as sconsw, for cmd.exe: sets up what is missing, then runs SCons in the current folder, or, where that holds
rem no SConstruct, with the one above.
rem PYTHON names the Python to use, else the py launcher's, else python or python3 from PATH.
rem No parenthesised blocks: a value with a parenthesis, as in windows(10.0.20348)/amd64, would end one.
setlocal EnableExtensions DisableDelayedExpansion
set "sconsw_here=%~dp0"
set "sconsw_here=%sconsw_here:~0,-1%"
set "sconsw_venv=%sconsw_here%\.multiarch\venv"

set "sconsw_up=-D"
if exist SConstruct set "sconsw_up="
if exist SConstruct.py set "sconsw_up="
set "sconsw_tests="
:words
if "%~1"=="" goto asked
if not exist "%sconsw_here%\requirements-test.lock" goto word
if "%~1"=="test" set "sconsw_tests=--tests"
if "%~1"=="wheel" set "sconsw_tests=--tests"
:word
set "sconsw_word=%~1"
for %%O in (-f -C -D -u -U) do if "%sconsw_word:~0,2%"=="%%O" set "sconsw_up="
for %%O in (--dir --up --sea --fil --mak --sco) do if "%sconsw_word:~0,5%"=="%%O" set "sconsw_up="
if "%sconsw_word%"=="--up" set "sconsw_up="
shift
goto words

rem The file "ready" is one line: the tree, and PYTHON or - for none.
:asked
set "sconsw_asked=-"
if defined PYTHON set "sconsw_asked=%PYTHON%"
if not exist "%sconsw_venv%\Scripts\python.exe" goto setup
if not exist "%sconsw_venv%\ready" goto setup
set "sconsw_had="
set "sconsw_by="
for /f "usebackq tokens=1,2 delims=|" %%A in ("%sconsw_venv%\ready") do set "sconsw_had=%%A"& set "sconsw_by=%%B"
if not "%sconsw_had%"=="%sconsw_here%" goto setup
if not "%sconsw_asked%"=="-" if not "%sconsw_asked%"=="%sconsw_by%" goto setup
fc /b "%sconsw_here%\requirements.lock" "%sconsw_venv%\requirements.lock" >nul 2>&1
if errorlevel 1 goto setup
if not defined sconsw_tests goto run
fc /b "%sconsw_here%\requirements-test.lock" "%sconsw_venv%\requirements-test.lock" >nul 2>&1
if errorlevel 1 goto setup

:run
rem Not scons.exe: messages that name a command say the name that comes first.
"%sconsw_venv%\Scripts\python.exe" "%sconsw_here%\site_scons\scons_multiarch\__main__.py" sconsw %sconsw_up% %*
exit /b %errorlevel%

:setup
set "sconsw_enough=import sys; sys.exit(sys.version_info < (3, 10))"
set "sconsw_option="
if not defined PYTHON goto search
set "sconsw_python=%PYTHON%"
"%sconsw_python%" -c "%sconsw_enough%" >nul 2>&1
if not errorlevel 1 goto bootstrap
echo sconsw: "PYTHON=%sconsw_python%" does not run, or is older than Python 3.10 >&2
goto nopython

:search
set "sconsw_python=py"
set "sconsw_option=-3"
py -3 -c "%sconsw_enough%" >nul 2>&1
if not errorlevel 1 goto bootstrap
set "sconsw_option="
set "sconsw_python=python"
python -c "%sconsw_enough%" >nul 2>&1
if not errorlevel 1 goto bootstrap
set "sconsw_python=python3"
python3 -c "%sconsw_enough%" >nul 2>&1
if not errorlevel 1 goto bootstrap
echo sconsw: needs Python 3.10 or newer; PATH has none >&2
:nopython
echo   hint: install one, or name it: set PYTHON=C:\path\to\python.exe >&2
exit /b 2

:bootstrap
"%sconsw_python%" %sconsw_option% "%sconsw_here%\site_scons\bootstrap.py" %sconsw_tests% -- "%sconsw_here%" "%sconsw_asked%"
if not "%errorlevel%"=="0" exit /b %errorlevel%
goto run
