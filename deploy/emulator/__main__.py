import argparse, json, os
from deploy.emulator.emulator import Emulator
p=argparse.ArgumentParser()
p.add_argument("--scene",default="cube"); p.add_argument("--ip",default="127.0.0.1"); p.add_argument("--protocol",type=int,default=10)
p.add_argument("--clock",default="realtime"); p.add_argument("--console-port",type=int,default=1339); p.add_argument("--seed",type=int,default=0)
a=p.parse_args()
e=Emulator(a.scene,a.ip,a.protocol,a.clock,a.console_port,a.seed)
print(json.dumps(dict(ready=True,ip=a.ip,console_port=e.console.port,pid=os.getpid())),flush=True)
e.run()
